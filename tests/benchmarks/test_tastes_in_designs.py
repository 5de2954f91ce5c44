"""The liked attributes show in designs: synthetic shoppers with known tastes, the whole way, by steps and η.

With -s the table is printed; with TFDVBPR_KEEP=FOLDER in the environment the plot is kept there.
"""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from tfdvbpr import api
from tfdvbpr.config import GanConfig, recommender_config
from tfdvbpr.data.prepare import PrepareOptions
from tfdvbpr.data.synthetic import SyntheticOptions
from tfdvbpr.design.options import DesignOptions
from tfdvbpr.judging.attribute_tables import markdown
from tfdvbpr.judging.attributes import AttributeCheck, AttributeOptions


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> AttributeCheck:
    folder = tmp_path_factory.mktemp("tastes")
    dataset = api.prepare_synthetic(
        folder / "dataset",
        synthetic=SyntheticOptions(),
        options=PrepareOptions(image_size=(64, 64)),
        keep_source=folder / "source",
    )
    run = api.train(dataset, folder / "dvbpr", config=recommender_config("dvbpr", epochs=25))
    gan_run = api.train_gan(dataset, folder / "gan", config=GanConfig(epochs=40))
    output = Path(os.environ.get("TFDVBPR_KEEP", folder)) / "attributes"
    options = AttributeOptions(
        num_users=240,
        steps=(0, 5, 10, 20, 40),
        realism_weights=(0.0, 0.5, 1.0, 2.0),
        design=DesignOptions(num_starts=2, learning_rate=0.1),
    )
    found = api.attributes_in_designs(run, gan_run, folder / "source", output, options=options, overwrite=True)
    print("\n" + markdown(found))
    return found


def test_designs_show_what_is_liked(found: AttributeCheck) -> None:
    colour = found.test["colour"]
    assert colour["p_holm"] < 1e-3
    assert colour["designs"] > colour["random"] + 0.1


def test_liked_attributes_grow_with_the_steps(found: AttributeCheck) -> None:
    """At the chosen η, on shoppers it was not chosen by."""
    line = found.table.filter((pl.col("part") == "test") & (pl.col("realism_weight") == found.best["realism_weight"]))
    at_start = line.filter(pl.col("step") == 0)["colour"][0]
    assert line.filter(pl.col("step") == found.best["step"])["colour"][0] > at_start
    assert found.best["step"] > 0
