"""An ensemble's designer, in graph and in process."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from export_helpers import Unsaved
from PIL import Image

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.options import DesignOptions, TailorOptions
from tfdvbpr.designing.tailor import Tailor
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import GanRun, Run
from tfdvbpr.training.recommender.train import train_recommender
from tfdvbpr_export.designer.heads import ServedDesigner

OPTIONS = DesignOptions(num_candidates=4, num_starts=2, num_steps=3, learning_rate=0.1)


@pytest.fixture(scope="module")
def both(tiny_run: Run, checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder: Path = tmp_path_factory.mktemp("ensemble")
    config = recommender_config("dvbpr", epochs=1, embedding_dim=3, global_batch_size=16, seed=1)
    return api.ensemble([tiny_run, train_recommender(checkerboard_dataset, config, folder / "other")], folder / "both")


def test_served_designs_are_those_made_in_process(both: Run, tiny_gan_run: GanRun) -> None:
    designer = Designer(both, tiny_gan_run, options=OPTIONS)
    tailor = Tailor(designer, options=TailorOptions(num_candidates=2, num_starts=1, invert_steps=1, num_steps=1))
    module = ServedDesigner(designer, tailor, max_steps=5)
    weights = {id(weight.value) for network in both.recommender.networks for weight in network.weights}
    assert weights <= {id(weight) for weight in module.network_weights}
    served = Unsaved(module)("design", user_ids=["u0", ""], liked_item_ids=[[""], ["i3"]], categories=["shoe"] * 2)
    expected = designer.design_for_embeddings(
        np.concatenate([both.visual_user_embeddings[:1], both.fold_in([["i3"]])]), ["shoe"] * 2, seeds=[0, 0]
    )
    np.testing.assert_allclose(served["preferences"], expected.preferences, rtol=1e-4, atol=1e-6)
    for files, images in zip(served["image_bytes"], expected.images, strict=True):
        shown = np.stack([np.asarray(Image.open(io.BytesIO(file)), np.int32) for file in files])
        assert np.abs(shown - images).max() <= 1
