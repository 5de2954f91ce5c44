"""What a call of the designer may ask for, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.designing.designer import Designer, latent_kind
from tfdvbpr.designing.optimize.maximize import maximize
from tfdvbpr.errors import ConfigError, UnknownIdError


def test_history_and_frames_tell_of_the_same_way(designer: Designer) -> None:
    designs = designer.design(["u0", "u5"], ["shirt", "shoe"], seeds=[1, 2], snapshot_steps=[0, 4, 6], num_designs=2)
    assert designs.images.shape == (2, 2, 32, 32, 3)
    assert designs.frames is not None
    assert designs.frame_latents is not None
    assert designs.frames.shape == (3, 2, 2, 32, 32, 3)
    for name, end in (("preferences", designs.preferences), ("objectives", designs.objectives)):
        assert designs.history[name].shape == (2, 2, 7)
        np.testing.assert_array_equal(designs.history[name][:, :, -1], end)
    np.testing.assert_array_equal(designs.history["preferences"][:, :, 0], designs.initial_preferences)
    np.testing.assert_array_equal(designs.history["realism_logits"][:, :, 0], designs.initial_realism_logits)
    np.testing.assert_allclose(designs.objectives, designs.preferences - (designs.realism_logits - 1.0) ** 2, atol=1e-5)
    users = np.repeat(designer.run.tastes[[0, 5]], 2, axis=0)
    for frame, step in enumerate(designs.frame_steps):
        images = tf.constant(designs.frames[frame].reshape(4, 32, 32, 3) / 127.5 - 1.0, tf.float32)
        told = designer.objective.preferences(images, users).numpy().reshape(2, 2)
        np.testing.assert_allclose(designs.history["preferences"][:, :, step], told, atol=0.05)
    np.testing.assert_array_equal(designs.frame_latents[-1], designs.latents)
    redrawn = designer.objective.images(tf.constant(designs.latents[:, 0]), tf.constant([0, 1])).numpy()
    np.testing.assert_allclose(np.round((redrawn + 1) * 127.5), designs.images[:, 0], atol=1)


def test_fewer_steps_are_the_beginning_of_more(designer: Designer) -> None:
    """Nothing of a way depends on where it ends, and steps and η compile nothing anew."""
    long = designer.design(["u0"], ["shirt"], seeds=[1])
    traces = designer._maximize.experimental_get_tracing_count()
    short = designer.design(["u0"], ["shirt"], seeds=[1], num_steps=4, realism_weight=1.0)
    same = [long.starts[0].tolist().index(start) for start in short.starts[0]]
    np.testing.assert_allclose(short.preferences[0], long.history["preferences"][0, same, 4], atol=1e-4)
    free = designer.design(["u0"], ["shirt"], seeds=[1], realism_weight=0.0)
    np.testing.assert_allclose(free.objectives, free.preferences, atol=1e-6)
    assert designer._maximize.experimental_get_tracing_count() == traces


def test_every_request_may_have_its_own_steps_and_weight(designer: Designer) -> None:
    arguments = (designer.run.tastes[:2], tf.constant([0, 1]), tf.constant([3, 4], tf.int64))
    options = {"options": designer.options, "latent_dim": designer.gan_run.config.latent_dim}
    both = maximize(
        designer.objective, *arguments, **options, num_steps=tf.constant([2, 5]), realism_weight=tf.constant([0.0, 2.0])
    )
    for row, (steps, eta) in enumerate(((2, 0.0), (5, 2.0))):
        alone = maximize(
            designer.objective, *arguments, **options, num_steps=tf.constant(steps), realism_weight=tf.constant(eta)
        )
        np.testing.assert_allclose(both["preferences"][row], alone["preferences"][row], atol=1e-4)
        np.testing.assert_allclose(both["realism_logits"][row], alone["realism_logits"][row], atol=1e-4)


def test_chunks_change_nothing_but_the_last_digits(designer: Designer) -> None:
    options = dataclasses.replace(designer.options, chunk_rows=2, num_steps=3)
    small = Designer(designer.run, designer.gan_run, options=options)
    asked = (["u0", "u1", "u2"], ["shirt", "shoe", "shoe"])
    told: list[tuple[int, int]] = []
    first = small.design(*asked, seeds=[1, 2, 3], progress=lambda done, total: told.append((done, total)))
    whole = designer.design(*asked, seeds=[1, 2, 3], num_steps=3)
    np.testing.assert_allclose(first.preferences, whole.preferences, atol=0.02)
    assert told == [(3, 3)]


@pytest.mark.parametrize(
    "changed",
    [{"latents": "bounded"}, {"norm_prior_weight": 50.0}, {"smoothing": "augment"}],
    ids=["bounded", "prior", "smoothing"],
)
def test_ways_to_climb(designer: Designer, changed: dict[str, object]) -> None:
    options = dataclasses.replace(designer.options, realism_weight=0.0, num_steps=12, **changed)  # type: ignore[arg-type]
    plain = designer.design(["u0"], ["shirt"], seeds=[1], num_steps=12, realism_weight=0.0)
    designs = Designer(designer.run, designer.gan_run, options=options).design(["u0"], ["shirt"], seeds=[1])
    if "latents" in changed:
        assert (np.abs(designs.latents) < 1).all()
        assert (designs.preferences > designs.initial_preferences).all()
    elif "norm_prior_weight" in changed:
        norms = (np.linalg.norm(found.latents, axis=2).mean() for found in (designs, plain))
        assert next(norms) < next(norms)
    else:
        assert (designs.preferences > designs.initial_preferences).all()
        assert not np.array_equal(designs.images, plain.images)
        by_start = [plain.starts[0].tolist().index(start) for start in designs.starts[0]]
        np.testing.assert_allclose(designs.initial_preferences[0], plain.initial_preferences[0, by_start], atol=1e-5)


def test_a_generator_that_bounds_its_latents_keeps_doing_so() -> None:
    assert latent_kind("auto", "gaussian") == "gaussian"
    assert latent_kind("auto", "bounded") == "bounded"
    assert latent_kind("bounded", "gaussian") == "bounded"
    with pytest.raises(ConfigError, match="`latents` must be auto or bounded"):
        latent_kind("gaussian", "bounded")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"num_steps": 0}, "`num_steps` must be at least 1. Received 0"),
        ({"realism_weight": float("nan")}, "`realism_weight` must be a finite number. Received nan"),
        ({"realism_weight": -1.0}, "`realism_weight` must not be negative"),
        ({"num_designs": 0}, "`num_designs` must be at least 1. Received 0"),
        ({"num_designs": 4}, "`num_designs` must be at most num_starts=3. Received 4"),
        ({"snapshot_steps": [0, 7]}, r"`snapshot_steps` must lie in \[0, num_steps=6\]"),
        ({"seeds": [1, 2]}, "must be of one length. Received 1, 1 and 2"),
        ({"tastes": np.full((1, 4), np.nan, np.float32)}, "`tastes` must be finite.*with NaN or infinity"),
        ({"tastes": np.zeros((1, 5), np.float32)}, r"of shape \[requests, 4\]. Received shape \[1, 5\]"),
        ({"tastes": np.zeros((0, 4), np.float32), "categories": [], "seeds": []}, "at least one request"),
        ({"categories": ["hat"]}, "`category` must be one of the 2 known ids"),
    ],
)
def test_refused_before_any_compute(
    designer: Designer, asked: dict[str, object], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(designer, "_maximize", lambda *_: pytest.fail("must be refused before any compute"))
    whole: dict[str, object] = {
        "tastes": designer.run.tastes[:1],
        "categories": ["shirt"],
        "seeds": [0],
        **asked,
    }
    with pytest.raises((ConfigError, UnknownIdError), match=told):
        designer.design_for_tastes(**whole)  # type: ignore[arg-type]
