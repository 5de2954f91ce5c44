"""An exported designer in a process with nothing but TensorFlow; tests/export/test_export_validation.py has others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfdvbpr.designing.options import DesignOptions, TailorOptions
from tfdvbpr.run import GanRun, Run
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export import export_designer
from tfdvbpr_export.options import HIGHEST_MAX_STEPS
from tfdvbpr_export.validation import validate


@pytest.mark.parametrize("max_steps", [25, HIGHEST_MAX_STEPS])
def test_a_designer_is_fit_to_be_served(tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path, max_steps: int) -> None:
    """Also one of which no request for all its steps ends."""
    options = DesignOptions(num_starts=3, num_steps=6)
    tailoring = TailorOptions(num_candidates=6, num_starts=2, invert_steps=5, num_steps=4)
    folder = tmp_path / "designer"
    settings = {"options": options, "tailor_options": tailoring, "max_steps": max_steps}
    export_designer(tiny_run.path, tiny_gan_run.path, folder, **settings)  # type: ignore[arg-type]
    found = validate(folder, latency_seconds=0.0)
    assert found.problems == ()
    assert set(found.signatures) == {name for name, one in SIGNATURES.items() if one.model == "designer"}
    for name, report in found.signatures.items():
        assert report.requests >= 1, name
        assert report.difference <= 1e-5, name
        assert report.refused >= 2, name
        assert report.answered >= 1, name
        assert report.p50_ms > 0, name
