from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.optimize.inversion import unlikeness
from tfdvbpr.designing.optimize.perceptual_features import distances, maps_of, pixel_distances
from tfdvbpr.designing.optimize.scoring import score_pictures
from tfdvbpr.designing.options import TailorOptions
from tfdvbpr.designing.tailor import Tailor, Tailored, structural_similarity
from tfdvbpr.errors import ConfigError, UnknownIdError

OPTIONS = TailorOptions(num_candidates=16, num_starts=2, invert_steps=40, num_steps=8, learning_rate=0.1, chunk_rows=5)
USERS, CATEGORIES = ["u0", "u3", "u0"], ["shirt", "shoe", "shoe"]


@pytest.fixture(scope="module")
def tailor(designer: Designer) -> Tailor:
    return Tailor(designer, options=OPTIONS)


@pytest.fixture(scope="module")
def drawn(designer: Designer) -> np.ndarray:
    """Pictures the generator can draw, so that an inversion has something to find."""
    return designer.generate(CATEGORIES, seeds=[101, 102, 103])


@pytest.fixture(scope="module")
def tailored(tailor: Tailor, drawn: np.ndarray) -> Tailored:
    return tailor.tailor(USERS, CATEGORIES, drawn, strengths=(0.0, 1.0, 20.0), num_frames=3)


def test_the_generators_own_pictures_are_found_again(tailored: Tailored, drawn: np.ndarray) -> None:
    """Another picture of the category is 1 away; the inversion comes to a fraction of that."""
    assert (tailored.losses < 0.5).all()
    apart = np.abs(tailored.reconstructions.astype(int) - drawn).mean(axis=(1, 2, 3))
    others = np.abs(np.roll(drawn, 1, axis=0).astype(int) - drawn).mean(axis=(1, 2, 3))
    assert (apart < others).all()
    np.testing.assert_allclose(tailored.ssim, structural_similarity(drawn, tailored.reconstructions))


def test_strength_is_a_knob(tailored: Tailored) -> None:
    """Without strength the picture is drawn back to itself; with more of it the preference and the distance grow."""
    gains = tailored.preferences - tailored.initial_preferences[:, None]
    assert (gains[:, 2] > gains[:, 0]).all()
    assert (gains[:, 2] > 0).all()
    assert (tailored.distances[:, 2] > tailored.distances[:, 0]).all()


def test_a_distance_penalty_keeps_the_item(designer: Designer, drawn: np.ndarray, tailored: Tailored) -> None:
    free = Tailor(designer, options=dataclasses.replace(OPTIONS, distance_weight=0.0))
    loose = free.tailor(USERS, CATEGORIES, drawn, strengths=(1.0,), num_frames=2)
    np.testing.assert_allclose(loose.losses, tailored.losses, atol=1e-3)
    assert loose.distances[:, 0].mean() > tailored.distances[:, 1].mean()


def test_figures_are_those_of_the_pictures(tailored: Tailored, designer: Designer) -> None:
    """In standard deviations over the category's real items, from the pictures themselves."""
    run = designer.run
    for row, (user, category) in enumerate(zip(USERS, CATEGORIES, strict=True)):
        theta = run.tastes[run.user_indices([user])]
        real = run.looks[run.items.category_ids == run.items.category_id(category)] @ theta[0]
        for images, told in (
            (tailored.images[row], tailored.preferences[row]),
            (tailored.originals[row : row + 1], tailored.original_preferences[row : row + 1]),
        ):
            scores = score_pictures(run, images, np.repeat(theta, len(images), axis=0))
            np.testing.assert_allclose(told, (scores - real.mean()) / real.std(), atol=0.05)


def test_the_path_leads_from_the_reconstruction_to_the_end(tailored: Tailored) -> None:
    assert tailored.frames.shape == (3, 3, 3, 32, 32, 3)
    assert tailored.frame_steps == [0, 4, 8]
    for column in range(3):
        np.testing.assert_array_equal(tailored.frames[-1, :, column], tailored.images[:, column])
        apart = tailored.frames[0, :, column].astype(int) - tailored.reconstructions
        assert np.abs(apart).max() <= 1
    np.testing.assert_array_equal(tailored.history[:, :, -1], tailored.preferences)
    np.testing.assert_array_equal(tailored.history[:, 1, 0], tailored.initial_preferences)


def test_the_backbones_maps_from_large_to_small(designer: Designer, checkerboard_dataset: PreparedDataset) -> None:
    sizes = [tuple(layer.output.shape[1:3]) for layer in maps_of(designer.run.recommender.backbone)]
    assert sizes == [(16, 16), (8, 8), (4, 4), (2, 2)]


def test_unlikeness_is_nought_of_the_same_and_grows(tailor: Tailor, checkerboard_dataset: PreparedDataset) -> None:
    images = tf.constant(checkerboard_dataset.images.read(np.array([0, 1])).astype(np.float32) / 127.5 - 1.0)
    of = unlikeness(tailor.perception, images, pixel_weight=1.0)
    np.testing.assert_allclose(of(images), 0.0, atol=1e-6)
    near, far = of(images + 0.05), of(images[::-1])
    assert (near.numpy() < far.numpy()).all()


def test_golden_distances() -> None:
    """Two cells of two channels: alike in one, at right angles in the other; ‖(1, 0) − (0, 1)‖² = 2, half of it."""
    first = [tf.constant([[[[1.0, 0.0], [1.0, 0.0]]]])]
    second = [tf.constant([[[[1.0, 0.0], [0.0, 1.0]]]])]
    assert float(distances(first, second)[0]) == pytest.approx(1.0)
    assert float(pixel_distances(tf.zeros([1, 2, 2, 3]), tf.fill([1, 2, 2, 3], 0.5))[0]) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"images": np.zeros((1, 32, 31, 3), np.uint8)}, r"uint8 \[N, 32, 32, 3\].*Received uint8 \[1, 32, 31, 3\]"),
        ({"images": np.zeros((1, 32, 32, 3), np.float32)}, r"Received float32 \[1, 32, 32, 3\]"),
        ({"images": np.zeros((32, 32, 3), np.uint8)}, r"Received uint8 \[32, 32, 3\]"),
        ({"images": np.zeros((0, 32, 32, 3), np.uint8)}, "one length above 0"),
        ({"strengths": [float("nan")]}, "`strength` must be a finite number. Received nan"),
        ({"strengths": [-1.0]}, "`strength` must not be negative"),
        ({"strengths": []}, "at least one"),
        ({"categories": ["hat"]}, "`category` must be one of"),
        ({"audiences": [Audience.user("nobody")]}, "`user` must be one of"),
        ({"audiences": [Audience.group(["u0", "u1"])]}, "tailored to one person"),
    ],
)
def test_wrong_input(tailor: Tailor, changed: dict[str, object], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailor, "_invert", lambda *_: pytest.fail("must be refused before any compute"))
    asked: dict[str, object] = {
        "audiences": [Audience.user("u0")],
        "categories": ["shirt"],
        "images": np.zeros((1, 32, 32, 3), np.uint8),
        "strengths": [1.0],
        **changed,
    }
    with pytest.raises((ConfigError, UnknownIdError), match=told):
        tailor.tailor_for(
            asked["audiences"],  # type: ignore[arg-type]
            asked["categories"],  # type: ignore[arg-type]
            asked["images"],  # type: ignore[arg-type]
            strengths=asked["strengths"],  # type: ignore[arg-type]
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_starts", 0),
        ("invert_steps", 0),
        ("realism_weight", float("nan")),
        ("distance_weight", -1.0),
        ("learning_rate", 0.0),
        ("smoothing", "strong"),
        ("num_starts", 65),
    ],
)
def test_options_out_of_range(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` must.*Received '?{value}"):
        TailorOptions(**{name: value})  # type: ignore[arg-type]


def test_an_unknown_perception(designer: Designer) -> None:
    with pytest.raises(ConfigError, match=r"`perception` must be backbone.*Received 'eyes'"):
        Tailor(designer, perception="eyes")
