from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny_data import RunOf

from tfdvbpr import api
from tfdvbpr.errors import ConfigError, RunError, UnknownIdError
from tfdvbpr.models.backbones import BackboneOptions, build_backbone
from tfdvbpr.models.recommenders.fold_in import FoldIn
from tfdvbpr.run import Run
from tfdvbpr.run.explanation import BASELINES, integrated_gradients

GENERATOR = np.random.default_rng(0)
IMAGE = GENERATOR.uniform(-1, 1, (32, 24, 3)).astype(np.float32)


def test_a_linear_score_by_hand() -> None:
    """The gradient is the weights everywhere: each pixel gets weight times difference, in one step."""
    weights = GENERATOR.standard_normal(IMAGE.shape).astype(np.float32)
    found = integrated_gradients(
        lambda images: tf.reduce_sum(images * weights, axis=(1, 2, 3)), IMAGE, BASELINES["white"](IMAGE), steps=1
    )
    np.testing.assert_allclose(found, weights * (IMAGE - 1.0), atol=1e-5)


def test_a_square_by_hand() -> None:
    """From 0 to 3 the mean gradient of x² is 3: the attribution is 9, all of the score."""
    image = np.full((1, 1, 3), [3.0, 0.0, -2.0], np.float32)
    found = integrated_gradients(
        lambda images: tf.reduce_sum(images**2, axis=(1, 2, 3)), image, np.zeros_like(image), steps=40
    )
    np.testing.assert_allclose(found[0, 0], [9.0, 0.0, 4.0], atol=1e-4)


def test_completeness_on_a_backbone() -> None:
    """Attributions sum to the difference of the scores, with the batch normalisations in inference mode."""
    keras.utils.set_random_seed(0)
    backbone: Any = build_backbone("small_cnn", (32, 24), BackboneOptions(embedding_dim=5, dropout=0.3))
    for layer in backbone.layers:  # statistics as training would leave them: others than 0 and 1
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(GENERATOR.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(GENERATOR.uniform(0.5, 1.5, layer.moving_variance.shape))
    theta = GENERATOR.standard_normal((5, 1)).astype(np.float32)

    def score(images: Any) -> Any:
        return backbone(images, training=False) @ theta

    image = IMAGE.copy()
    image[8:, 6:18] = [-0.8, 0.5, -0.2]  # something that the blur removes
    for baseline in BASELINES.values():
        without = baseline(image)
        found = integrated_gradients(score, image, without, steps=64)
        above, below = score(np.stack([image, without])).numpy().ravel()
        assert abs(above - below) > 0.01
        assert found.sum() == pytest.approx(above - below, rel=0.02)


def test_only_the_half_that_counts_gets_attributions() -> None:
    """The score is how red the left half is; the right half is as red and counts for nothing."""
    image = np.ones((16, 16, 3), np.float32)
    image[:, :, 1:] = -0.8

    def redness(images: Any) -> Any:
        half = images[:, :, :8]
        return tf.reduce_mean(tf.nn.relu(half[..., 0] - half[..., 1]), axis=(1, 2))

    found = integrated_gradients(redness, image, BASELINES["white"](image), steps=16).sum(axis=2)
    assert found[:, :8].min() > 0
    assert not found[:, 8:].any()
    assert found.sum() == pytest.approx(1.8, rel=1e-4)


def test_baselines() -> None:
    assert (BASELINES["white"](IMAGE) == 1.0).all()
    blurred = BASELINES["blurred"](IMAGE)
    assert blurred.shape == IMAGE.shape
    assert blurred.std() < 0.3 * IMAGE.std()
    np.testing.assert_allclose(blurred.mean(axis=(0, 1)), IMAGE.mean(axis=(0, 1)), atol=0.05)


@pytest.mark.parametrize("name", ["dvbpr", "hybrid-dvbpr", "siamese"])
def test_pixels_and_liked_items_both_sum_to_the_score(run_of: RunOf, name: str) -> None:
    run = run_of(name)
    (each,) = api.explain(run, "u2", ["i7"])
    item = run.items.indices(["i7"])[0]
    assert each.score == pytest.approx(
        float(run.visual_user_embeddings[2] @ run.visual_item_embeddings[item]), abs=2e-3
    )
    assert each.attributions.shape == (32, 32)
    assert each.attributions.sum() == pytest.approx(each.score - each.baseline_score, rel=0.05, abs=2e-3)
    assert {source.item_id for source in each.sources} == {"i0", "i4", "i6", "i8", "i12", "i14"}
    contributions = [source.contribution for source in each.sources]
    assert contributions == sorted(contributions, reverse=True)
    prior = float(run.folding.prior @ run.visual_item_embeddings[item])
    assert sum(contributions) + prior == pytest.approx(each.score, abs=2e-3)


def test_a_figure_of_several_items(tiny_run: Run, tmp_path: Path) -> None:
    output = tmp_path / "why" / "why.png"
    explanations = api.explain(tiny_run, "u2", ["i7", "i8"], output=output, baseline="blurred", steps=8)
    assert [each.item_id for each in explanations] == ["i7", "i8"]
    with Image.open(output) as image:
        assert image.format == "PNG"
        shades = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(shades, axis=0)) > 500


def test_a_trained_user_table_has_no_sources(tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "folding", property(lambda run: FoldIn.from_fit(run.factors)))
    (each,) = api.explain(Run.open(tiny_run.path), "u2", ["i7"], output=tmp_path / "why.png", steps=8)
    assert each.sources == []
    assert (tmp_path / "why.png").is_file()


def test_refusals(run_of: RunOf, tiny_run: Run) -> None:
    with pytest.raises(RunError, match=r"dvbpr, hybrid-dvbpr, siamese\. .* is a visrank run"):
        api.explain(run_of("visrank"), "u2", ["i7"])
    with pytest.raises(UnknownIdError, match="`item` must be one of"):
        api.explain(tiny_run, "u2", ["jacket"])
    with pytest.raises(UnknownIdError, match="`user` must be one of"):
        api.explain(tiny_run, "nobody", ["i7"])
    with pytest.raises(ConfigError, match="`baseline` must be one of white, blurred"):
        api.explain(tiny_run, "u2", ["i7"], baseline="black")
