from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_data import RunOf

from tfdvbpr import api
from tfdvbpr.errors import ConfigError, RunError, UnknownIdError
from tfdvbpr.models.recommenders.fold_in import FoldIn
from tfdvbpr.run import Run


@pytest.mark.parametrize("name", ["dvbpr", "hybrid-dvbpr", "siamese"])
def test_pixels_and_liked_items_both_sum_to_the_score(run_of: RunOf, name: str) -> None:
    run = run_of(name)
    (each,) = api.explain(run, "u2", ["i7"])
    item = run.items.indices(["i7"])[0]
    assert each.score == pytest.approx(float(run.tastes[2] @ run.looks[item]), abs=2e-3)
    assert each.attributions.shape == (32, 32)
    assert each.attributions.sum() == pytest.approx(each.score - each.baseline_score, rel=0.05, abs=2e-3)
    assert {source.item_id for source in each.sources} == {"i0", "i4", "i6", "i8", "i12", "i14"}
    shares = [source.share for source in each.sources]
    assert shares == sorted(shares, reverse=True)
    prior = float(run.folding.prior @ run.looks[item])
    assert sum(shares) + prior == pytest.approx(each.score, abs=2e-3)


def test_a_picture_of_several_items(tiny_run: Run, tmp_path: Path) -> None:
    output = tmp_path / "why" / "why.png"
    explanations = api.explain(tiny_run, "u2", ["i7", "i8"], output=output, baseline="blurred", steps=8)
    assert [each.item_id for each in explanations] == ["i7", "i8"]
    with Image.open(output) as picture:
        assert picture.format == "PNG"
        shades = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(shades, axis=0)) > 500


def test_a_free_taste_has_no_sources(tiny_run: Run, tmp_path: Path) -> None:
    run = Run.open(tiny_run.path)
    run.__dict__["folding"] = FoldIn.from_fit(run.factors)  # as of a run with a free θ
    (each,) = api.explain(run, "u2", ["i7"], output=tmp_path / "why.png", steps=8)
    assert each.sources == []
    assert (tmp_path / "why.png").is_file()


def test_what_cannot_be_explained(run_of: RunOf, tiny_run: Run) -> None:
    with pytest.raises(RunError, match=r"dvbpr, hybrid-dvbpr, siamese\. .* is a visrank run"):
        api.explain(run_of("visrank"), "u2", ["i7"])
    with pytest.raises(UnknownIdError, match="`item` must be one of"):
        api.explain(tiny_run, "u2", ["jacket"])
    with pytest.raises(UnknownIdError, match="`user` must be one of"):
        api.explain(tiny_run, "nobody", ["i7"])
    with pytest.raises(ConfigError, match="`baseline` must be one of white, blurred"):
        api.explain(tiny_run, "u2", ["i7"], baseline="black")
