from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.audience import AudienceEmbeddings
from tfdvbpr.designing.designer import Designer, Designs
from tfdvbpr.errors import ConfigError, RunError, UnknownIdError
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import GanRun
from tfdvbpr.training.recommender.train import train_recommender


@pytest.fixture(scope="module")
def three(designer: Designer) -> Designs:
    """Three requests, with frames after 0, 4 and 6 steps."""
    return designer.design(
        ["u0", "u5", "u0"], ["shirt", "shoe", "shoe"], seeds=[1, 2, 1], snapshot_steps=[0, 4, 6], num_designs=2
    )


def _preferences(designer: Designer, images: np.ndarray, users: list[int]) -> np.ndarray:
    """float32 [N], of images, uint8 [N, H, W, 3], for rows of users."""
    inputs = tf.constant(images / 127.5 - 1.0, tf.float32)
    embeddings = designer.run.factors.user_embeddings[users]
    found: np.ndarray = designer.objective.preferences(inputs, embeddings).numpy()
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_best_design_beats_the_best_start(designer: Designer, seed: int) -> None:
    options, gan_run = designer.options, designer.gan_run
    designs = designer.design(["u0"], ["shoe"], seeds=[seed])
    shoe, user = gan_run.category_id("shoe"), designer.run.factors.user_embeddings[:1]
    latents = designer.candidates.starts(AudienceEmbeddings.of_users(user), tf.constant([shoe]), tf.constant([seed]))[0]
    category_ids = tf.fill([options.num_starts], shoe)
    images = designer.objective.images(latents, category_ids)
    starts = designer.objective.values(
        designer.objective.preferences(images, np.repeat(user, 3, axis=0)),
        designer.objective.realism_logits(images, category_ids),
        options.realism_weight,
    ).numpy()
    assert designs.objectives[0, 0] > starts.max()
    assert (np.diff(designs.objectives[0]) <= 1e-6).all()
    np.testing.assert_allclose(np.sort(designs.history["objectives"][0, :, 0]), np.sort(starts), atol=1e-4)


def test_preferences_rise_without_a_realism_penalty(designer: Designer) -> None:
    designs = designer.design(["u1"], ["shoe"], seeds=[3], realism_weight=0.0)
    assert (designs.preferences > designs.initial_preferences).all()
    assert (np.diff(designs.preferences[0]) <= 0).all()


def test_history_and_frames_agree(designer: Designer, three: Designs) -> None:
    assert three.images.shape == (3, 2, 32, 32, 3)
    assert three.frames is not None
    assert three.frame_latents is not None
    assert three.frames.shape == (3, 3, 2, 32, 32, 3)
    for name, end in (("preferences", three.preferences), ("objectives", three.objectives)):
        assert three.history[name].shape == (3, 2, 7)
        np.testing.assert_array_equal(three.history[name][:, :, -1], end)
    np.testing.assert_array_equal(three.history["preferences"][:, :, 0], three.initial_preferences)
    np.testing.assert_array_equal(three.history["realism_logits"][:, :, 0], three.initial_realism_logits)
    np.testing.assert_allclose(three.objectives, three.preferences - (three.realism_logits - 1.0) ** 2, atol=1e-5)
    for frame, step in enumerate(three.frame_steps):
        found = _preferences(designer, three.frames[frame].reshape(6, 32, 32, 3), [0, 0, 5, 5, 0, 0])
        np.testing.assert_allclose(three.history["preferences"][:, :, step], found.reshape(3, 2), atol=0.05)
    np.testing.assert_array_equal(three.frames[-1], three.images)
    np.testing.assert_array_equal(three.frame_latents[-1], three.latents)
    generated = designer.objective.images(tf.constant(three.latents[:, 0]), tf.constant([0, 1, 1])).numpy()
    np.testing.assert_allclose(np.round((generated + 1) * 127.5), three.images[:, 0], atol=1)


def test_fewer_steps_are_the_beginning_of_more(designer: Designer) -> None:
    """The ascent does not depend on its last step, and steps, η and the number of requests retrace nothing."""
    long = designer.design(["u0"], ["shirt"], seeds=[1])
    short = designer.design(["u0"], ["shirt"], seeds=[1], num_steps=4, realism_weight=1.0)
    same = [long.starts[0].tolist().index(start) for start in short.starts[0]]
    np.testing.assert_allclose(short.preferences[0], long.history["preferences"][0, same, 4], atol=1e-4)
    free = designer.design(["u0"], ["shirt"], seeds=[1], realism_weight=0.0)
    np.testing.assert_allclose(free.objectives, free.preferences, atol=1e-6)
    designer.design(["u0", "u5"], ["shirt", "shoe"], seeds=[1, 2], num_steps=1)
    assert designer._maximize.experimental_get_tracing_count() == 1


def test_the_same_seed_gives_the_same_designs(designer: Designer) -> None:
    first, again, other = (designer.design(["u0"], ["shirt"], seeds=[seed]) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.preferences, again.preferences)
    assert not np.array_equal(first.images, other.images)
    assert len(np.unique(first.images[0].reshape(3, -1), axis=0)) == 3


def test_rows_do_not_depend_on_their_neighbours(designer: Designer, three: Designs) -> None:
    """Alone, sums are rounded differently than in a batch, and Adam amplifies that."""
    for row, (user, category, seed) in enumerate([("u0", "shirt", 1), ("u5", "shoe", 2)]):
        alone = designer.design([user], [category], seeds=[seed], num_designs=2)
        np.testing.assert_allclose(three.preferences[row], alone.preferences[0], atol=0.02)
        np.testing.assert_allclose(three.realism_logits[row], alone.realism_logits[0], atol=0.02)
        assert np.abs(three.images[row].astype(int) - alone.images[0]).mean() < 1


def test_the_networks_stay_as_they_were(designer: Designer) -> None:
    """Batch normalisation too: its statistics are no trainable weights, but a training pass would move them."""
    networks = designer.run.recommender, designer.gan_run.generator, designer.gan_run.discriminator
    before = [network.get_weights() for network in networks]
    designer.design(["u2"], ["shoe"], seeds=[0])
    for network, weights in zip(networks, before, strict=True):
        for weight, expected in zip(network.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_progress_is_reported(designer: Designer) -> None:
    reports: list[tuple[int, int]] = []
    designer.design(["u0"], ["shirt"], seeds=[1], progress=lambda *at: reports.append(at))
    assert reports == [(1, 1)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_steps": 0}, "`num_steps` must be at least 1. Received 0"),
        ({"realism_weight": float("nan")}, "`realism_weight` must be a finite number. Received nan"),
        ({"realism_weight": -1.0}, "`realism_weight` must not be negative"),
        ({"num_designs": 0}, "`num_designs` must be at least 1. Received 0"),
        ({"num_designs": 4}, "`num_designs` must be at most num_starts=3. Received 4"),
        ({"snapshot_steps": [0, 7]}, r"`snapshot_steps` must lie in \[0, num_steps=6\]"),
        ({"seeds": [1, 2]}, "must be of one length. Received 1, 1 and 2"),
        ({"users": np.full((1, 4), np.nan, np.float32)}, "`users` must be finite.*with NaN or infinity"),
        ({"users": np.zeros((1, 5), np.float32)}, r"of shape \[requests, 4\]. Received shape \[1, 5\]"),
        ({"users": np.zeros((0, 4), np.float32), "categories": [], "seeds": []}, "at least one request"),
        ({"categories": ["hat"]}, "`category` must be one of the 2 known ids"),
    ],
)
def test_refused_before_any_compute(
    designer: Designer, changed: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_maximize", "_maximize_with_frames"):
        monkeypatch.setattr(designer, name, lambda *_: pytest.fail("must be refused before any compute"))
    users = designer.run.factors.user_embeddings[:1]
    request: dict[str, object] = {"users": users, "categories": ["shirt"], "seeds": [0], **changed}
    with pytest.raises((ConfigError, UnknownIdError), match=message):
        designer.design_for_embeddings(**request)  # type: ignore[arg-type]


def test_only_dvbpr_designs(checkerboard_dataset: PreparedDataset, tiny_gan_run: GanRun, tmp_path: object) -> None:
    run = train_recommender(checkerboard_dataset, recommender_config("popularity"), tmp_path / "run")  # type: ignore[operator]
    with pytest.raises(RunError, match=r"needs a dvbpr run.*is a popularity run\. Train --model dvbpr"):
        Designer(run, tiny_gan_run)


def test_unknown_names_get_the_nearest_known_ones(designer: Designer) -> None:
    with pytest.raises(UnknownIdError, match=r"`user` must be one of the 8 known ids\. Received 'u_1'\. Nearest: 'u1'"):
        designer.design(["u0", "u_1"], ["shirt", "shirt"], seeds=[0, 0])
    with pytest.raises(UnknownIdError, match=r"`category` must be.*Received 'shoes'\. Nearest: 'shoe'"):
        designer.design(["u0"], ["shoes"], seeds=[0])
