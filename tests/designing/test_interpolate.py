from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.interpolate import WrittenDesign, interpolate, slerp
from tfdvbpr.errors import ConfigError

FIRST, LAST = np.array([2.0, 0.0], np.float32), np.array([0.0, 4.0], np.float32)


def test_gaussian_latents_are_interpolated_on_the_sphere() -> None:
    """A quarter turn: half of it is 45°, and the length half way from 2 to 4."""
    np.testing.assert_allclose(slerp(FIRST, LAST, 3), [FIRST, [3 / np.sqrt(2)] * 2, LAST], atol=1e-6)


@pytest.mark.parametrize("last", [FIRST, -FIRST, 0 * FIRST])
def test_parallel_latents(last: np.ndarray) -> None:
    latents = slerp(FIRST, last, 5)
    assert np.isfinite(latents).all()
    np.testing.assert_allclose(latents[[0, -1]], [FIRST, last], atol=1e-6)


def test_an_interpolation_leads_from_one_design_to_the_other(designer: Designer) -> None:
    best = {user: designer.design([user], ["shoe"], seeds=[3]) for user in ("u0", "u1")}
    ends = [WrittenDesign(Audience.user(user), "shoe", designs.latents[0, 0]) for user, designs in best.items()]
    found = interpolate(designer, *ends, num_frames=4)
    for user, frame, preferences in (("u0", 0, found.first_preferences), ("u1", 3, found.last_preferences)):
        assert np.abs(found.images[frame].astype(int) - best[user].images[0, 0]).max() <= 1
        assert preferences[frame] == pytest.approx(best[user].preferences[0, 0], abs=0.05)
    with pytest.raises(ConfigError, match="at least 2"):
        interpolate(designer, *ends, num_frames=1)
    with pytest.raises(ConfigError, match="one category"):
        interpolate(designer, ends[0], WrittenDesign(Audience.user("u0"), "shirt", ends[0].latents))


@pytest.mark.parametrize(
    ("changed", "name", "message"),
    [
        ({}, "nowhere", "FOLDER:NUMBER, such as"),
        ({}, "nowhere:1", "nowhere is not one. Design again"),
        ({}, "FOLDER:3", "holds the designs 1 to 2. Received 3"),
        ({"gan_created": "long ago"}, "FOLDER:1", "made with that of long ago. Design again"),
        ({"audience": "u1"}, "FOLDER:1", "made by this version's `tfdvbpr design`"),
    ],
)
def test_designs_that_cannot_be_read(
    designer: Designer, tmp_path: Path, changed: dict[str, object], name: str, message: str
) -> None:
    created = designer.gan_run.manifest.created
    about = {"audience": {"user_ids": ["u1"], "item_ids": []}, "category": "shoe", "gan_created": created, **changed}
    (tmp_path / "designs.json").write_text(json.dumps(about))
    np.save(tmp_path / "latents.npy", np.zeros((2, 6), np.float32))
    with pytest.raises(ConfigError, match=message):
        WrittenDesign.read(name.replace("FOLDER", str(tmp_path)), designer)
