"""Designs show attributes that simulated users are known to like: from the dataset to the table, by steps and η.

The documented results were measured with version 0.1.0, whose GAN was trained with options that later versions do not
have (reconstruction_weight, prior_weight, saturation_slope). This version's own results are not documented.

With -s the table is printed; with TFDVBPR_KEEP=FOLDER in the environment dataset, runs and plot are kept there, and
a later call uses them.
"""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.demo.walk import gan_settings
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.evaluation.designs.known_attributes import AttributeEvaluation, AttributeEvaluationOptions, markdown
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import GanRun, Run

# Many actions with little noise: patterns and cuts matter less than colours, and the recommender must learn them too.
_USERS = {"actions_per_user": (40, 80), "temperature": 0.5}
# User embeddings trained as a table: means of the items a user acted on hold colours, and hardly anything of cuts.
_RECOMMENDER = {"user_embeddings": "free", "user_l2": 0.01, "loss": "sampled-softmax", "max_pairs": 32768}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> AttributeEvaluation:
    kept = os.environ.get("TFDVBPR_KEEP")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("attributes")
    folder.mkdir(parents=True, exist_ok=True)
    dataset, run, gan_run = _walked(folder)
    options = AttributeEvaluationOptions(
        num_users=300,
        steps=(0, 6, 12, 24),
        realism_weights=(0.0, 1.0, 4.0),
        design=DesignOptions(num_starts=4, learning_rate=0.15),
    )
    found = api.evaluate_attributes(
        run, gan_run, folder / "source", folder / "attributes", dataset=dataset, options=options, if_exists="overwrite"
    )
    print("\n" + markdown(found))
    return found


def _walked(folder: Path) -> tuple[PreparedDataset, Run, GanRun]:
    """The dataset, a recommender and a GAN of it, made or as an earlier call left them."""
    if not (folder / "dataset").exists():
        api.prepare(
            None,
            folder / "dataset",
            source_format="synthetic",
            importer_options={**_USERS, "keep_source": folder / "source"},
            options=PrepareOptions(image_size=(64, 64)),
        )
    dataset = PreparedDataset.open(folder / "dataset")
    if not (folder / "dvbpr").exists():
        config = recommender_config("dvbpr", preset="pretrained", global_batch_size=256, epochs=100, **_RECOMMENDER)
        api.train(dataset, folder / "dvbpr", config=config)
    if not (folder / "gan").exists():
        api.train_gan(dataset, folder / "gan", config=gan_settings(seed=0))
    return dataset, Run.open(folder / "dvbpr"), GanRun.open(folder / "gan")


def test_designs_show_what_is_liked(found: AttributeEvaluation) -> None:
    colour = found.test["colour"]
    assert colour["p_holm"] < 1e-3
    assert colour["designs"] > colour["random"] + 0.1
    assert found.liked > found.random["liked"] + 0.1


@pytest.mark.parametrize("attribute", ["pattern", "cut"])
def test_designs_show_more_than_colours(found: AttributeEvaluation, attribute: str) -> None:
    assert found.test[attribute]["p_holm"] < 0.05


def test_liked_attributes_grow_with_the_steps(found: AttributeEvaluation) -> None:
    """At the chosen η, on users it was not chosen by."""
    line = found.table.filter((pl.col("part") == "test") & (pl.col("realism_weight") == found.best["realism_weight"]))
    at_start = line.filter(pl.col("step") == 0)["colour"][0]
    assert line.filter(pl.col("step") == found.best["step"])["colour"][0] > at_start
    assert found.best["step"] > 0
