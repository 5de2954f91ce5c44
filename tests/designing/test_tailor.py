from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.similarity import ssim
from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.optimize.kept import KEPT
from tfdvbpr.designing.optimize.objective import image_preferences
from tfdvbpr.designing.options import TailorOptions
from tfdvbpr.designing.tailor import Tailor, Tailored
from tfdvbpr.designing.tailored_folders import TailorRequest, losses_kept, sampled_requests, write_tailored
from tfdvbpr.errors import ConfigError, UnknownIdError

OPTIONS = TailorOptions(num_candidates=16, num_starts=2, invert_steps=40, num_steps=8)
USERS, CATEGORIES = ["u0", "u3", "u0"], ["shirt", "shoe", "shoe"]


@pytest.fixture(scope="module")
def tailor(designer: Designer) -> Tailor:
    return Tailor(designer, options=OPTIONS)


@pytest.fixture(scope="module")
def generated(designer: Designer) -> np.ndarray:
    """Images that the generator can make, so that an inversion can succeed."""
    return designer.generate(CATEGORIES, seeds=[101, 102, 103])


@pytest.fixture(scope="module")
def tailored(tailor: Tailor, generated: np.ndarray) -> Tailored:
    return tailor.tailor(USERS, CATEGORIES, generated, strengths=(0.0, 1.0, 20.0), num_frames=3)


def test_the_generators_own_images_are_found_again(tailored: Tailored, generated: np.ndarray) -> None:
    """Another image of the category is 1 away; the inversion gets to a fraction of that."""
    assert (tailored.losses < 0.5).all()
    apart = np.abs(tailored.reconstructions.astype(int) - generated).mean(axis=(1, 2, 3))
    others = np.abs(np.roll(generated, 1, axis=0).astype(int) - generated).mean(axis=(1, 2, 3))
    assert (apart < others).all()
    np.testing.assert_allclose(tailored.ssim, ssim(generated, tailored.reconstructions, filter_size=7))


def test_a_greater_strength_goes_farther(tailored: Tailored) -> None:
    """Without strength the image stays near its reconstruction; with more of it preference and distance grow."""
    gains = tailored.preferences - tailored.initial_preferences[:, None]
    assert (gains[:, 2] > gains[:, 0]).all()
    assert (gains[:, 2] > 0).all()
    assert (tailored.distances[:, 2] > tailored.distances[:, 0]).all()


def test_figures_are_those_of_the_images(tailored: Tailored, designer: Designer) -> None:
    """In standard deviations over the category's real items, from the images themselves."""
    run = designer.run
    for row, (user, category) in enumerate(zip(USERS, CATEGORIES, strict=True)):
        theta = run.factors.user_embeddings[run.user_indices([user])]
        of_category = run.items.category_ids == run.items.category_id(category)
        real = run.factors.item_embeddings[of_category] @ theta[0]
        for images, preferences in (
            (tailored.images[row], tailored.preferences[row]),
            (tailored.originals[row : row + 1], tailored.original_preferences[row : row + 1]),
        ):
            scores = image_preferences(run, images, np.repeat(theta, len(images), axis=0))
            np.testing.assert_allclose(preferences, (scores - real.mean()) / real.std(), atol=0.05)


def test_what_is_kept_changes_less(tailor: Tailor, tailored: Tailored, generated: np.ndarray) -> None:
    """At the largest strength, by the measure of each thing that can be kept."""
    for number, name in enumerate(KEPT):
        kept = tailor.tailor(USERS, CATEGORIES, generated, strengths=(0.0, 1.0, 20.0), num_frames=3, keep=[name])
        np.testing.assert_array_equal(kept.reconstructions, tailored.reconstructions)
        free_loss, kept_loss = (losses_kept(each)[:, 2, number] for each in (tailored, kept))
        assert kept_loss.mean() < 0.9 * free_loss.mean()


def test_frames_lead_from_the_reconstruction_to_the_end(tailored: Tailored) -> None:
    assert tailored.frames.shape == (3, 3, 3, 32, 32, 3)
    assert tailored.frame_steps == [0, 4, 8]
    for column in range(3):
        np.testing.assert_array_equal(tailored.frames[-1, :, column], tailored.images[:, column])
        apart = tailored.frames[0, :, column].astype(int) - tailored.reconstructions
        assert np.abs(apart).max() <= 1
    np.testing.assert_array_equal(tailored.history[:, :, -1], tailored.preferences)
    np.testing.assert_array_equal(tailored.history[:, 1, 0], tailored.initial_preferences)


def test_the_folder(
    tailored: Tailored, designer: Designer, checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    """A second recommender that is the first one must find the same gain."""
    requests = [
        TailorRequest(f"i{row}", category, Audience.user(user))
        for row, (user, category) in enumerate(zip(USERS, CATEGORIES, strict=True))
    ]
    figures = write_tailored(
        tailored, requests, tmp_path, gan_run=designer.gan_run, dataset=checkerboard_dataset, second_run=designer.run
    )
    assert json.loads((tmp_path / "tailored.json").read_text(encoding="utf-8")) == figures
    assert [item["item"] for item in figures["items"]] == ["i0", "i1", "i2"]
    for item in figures["items"]:
        assert item["second_gain"] == pytest.approx(item["gain"], abs=0.2)
    assert figures["means"]["ssim"] == pytest.approx(tailored.ssim.mean(), abs=1e-5)
    assert figures["standard_errors"]["ssim"] == pytest.approx(tailored.ssim.std(ddof=1) / np.sqrt(3), abs=1e-5)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"strengths.png", "steps.png", "ascent.gif", "item_03_strength_20.png"} <= names


def test_a_sample_of_requests(designer: Designer, checkerboard_dataset: PreparedDataset) -> None:
    requests, items = sampled_requests(designer.run, designer.gan_run, checkerboard_dataset, count=5, seed=1)
    assert len({each.name for each in requests}) == 5
    table = checkerboard_dataset.items.table
    assert [each.name for each in requests] == [table["item_id"][int(item)] for item in items]
    assert [each.category for each in requests] == [table["category"][int(item)] for item in items]
    assert len(sampled_requests(designer.run, designer.gan_run, checkerboard_dataset, count=99, seed=1)[0]) == 16


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": np.zeros((1, 32, 31, 3), np.uint8)}, r"uint8 \[N, 32, 32, 3\].*Received uint8 \[1, 32, 31, 3\]"),
        ({"images": np.zeros((1, 32, 32, 3), np.float32)}, r"Received float32 \[1, 32, 32, 3\]"),
        ({"images": np.zeros((32, 32, 3), np.uint8)}, r"Received uint8 \[32, 32, 3\]"),
        ({"images": np.zeros((0, 32, 32, 3), np.uint8)}, "one length above 0"),
        ({"strengths": [float("nan")]}, "`strength` must be a finite number. Received nan"),
        ({"strengths": [-1.0]}, "`strength` must not be negative"),
        ({"strengths": []}, "at least one"),
        ({"categories": ["hat"]}, "`category` must be one of"),
        ({"keep": ["shape"]}, "`keep` must be one of colour, cut"),
        ({"audiences": ["nobody"]}, "`user` must be one of"),
    ],
)
def test_wrong_input(tailor: Tailor, changed: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailor, "_invert", lambda *_: pytest.fail("must be refused before any compute"))
    request: dict[str, object] = {
        "audiences": [Audience.user("u0")],
        "categories": ["shirt"],
        "images": np.zeros((1, 32, 32, 3), np.uint8),
        "strengths": [1.0],
        **changed,
    }
    with pytest.raises((ConfigError, UnknownIdError), match=message):
        tailor.tailor(
            request["audiences"],  # type: ignore[arg-type]
            request["categories"],  # type: ignore[arg-type]
            request["images"],  # type: ignore[arg-type]
            strengths=request["strengths"],  # type: ignore[arg-type]
            keep=request.get("keep", ()),  # type: ignore[arg-type]
        )
