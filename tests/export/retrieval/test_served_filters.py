"""Named filters in the graph: the same items as `Run.recommend` with the same expressions."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from export_helpers import unsaved

from tfdvbpr.errors import ConfigError
from tfdvbpr.run import Run
from tfdvbpr_export import RecommenderOptions
from tfdvbpr_export.cli import _named_filter
from tfdvbpr_export.recommender.heads import _options_of_newest

FILTERS = {
    "cheap": "price < 90",
    "in_stock": "in_stock",
    "blue": "colour == 'blue' or price > 140",
    "nothing": "price < 0",
}


@pytest.fixture(scope="module")
def shop(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run with a price, a stock and a colour of each item."""
    folder = Path(shutil.copytree(tiny_run.path, tmp_path_factory.mktemp("shop") / "run"))
    rows = np.arange(16)
    pl.read_parquet(folder / "items.parquet").with_columns(
        price=pl.Series([str(10 * row) if row != 3 else "" for row in rows]),
        in_stock=pl.Series(np.where(rows % 3 == 0, "no", "yes")),
        colour=pl.Series(np.where(rows % 2 == 0, "red", "blue")),
    ).write_parquet(folder / "items.parquet")
    return Run.open(folder)


def test_rows_choose_filters_and_get_what_python_gives(shop: Run) -> None:
    served = unsaved(shop, RecommenderOptions(filters=tuple(FILTERS.items())))
    wanted = [[], ["cheap"], ["cheap", "in_stock"], ["blue"], ["blue", "cheap", "cheap"], ["nothing"], ["cheap"]]
    categories = ["", "", "shirt", "", "shoe", "", "shoe"]
    padded = [[*names, "", "", ""][:3] for names in wanted]
    users = ["u1", "u1", "u2", "u3", "u2", "u1", "u1"]
    answer = served("recommend", user_ids=users, k=[16] * 7, categories=categories, filters=padded)
    assert answer["known_filters"].all()
    liked = served(
        "recommend_for_items", liked_item_ids=[["i2", "i5"]] * 7, k=[16] * 7, categories=categories, filters=padded
    )
    for row, (user, names, category) in enumerate(zip(users, wanted, categories, strict=True)):
        where = " and ".join(f"({FILTERS[name]})" for name in names) or None
        for found, expected in (
            (answer, shop.recommend(user, k=16, where=where, category=category or None)),
            (liked, shop.recommend_for(["i2", "i5"], k=16, where=where, category=category or None)),
        ):
            count = found["counts"][row]
            assert [item.decode() for item in found["item_ids"][row, :count]] == [each.item_id for each in expected]
            np.testing.assert_allclose(found["scores"][row, :count], [each.score for each in expected], atol=1e-5)
    assert answer["counts"][5] == 0


def test_unknown_filters(shop: Run) -> None:
    for options in (RecommenderOptions(), RecommenderOptions(filters=(("cheap", "price < 90"),))):
        served = unsaved(shop, options)
        answer = served("recommend", user_ids=["u1", "u1"], filters=[["", "dear"], ["", ""]])
        assert answer["known_filters"].tolist() == [[True, False], [True, True]]
        assert answer["counts"].tolist() == [0, 8]
        with pytest.raises(tf.errors.InvalidArgumentError, match="at most 32 columns"):
            served("recommend", user_ids=["u1"], filters=[[""] * 33])


def test_what_an_export_refuses(shop: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must name columns of the items"):
        unsaved(shop, RecommenderOptions(filters=(("cheap", "cost < 3"),)))
    for wrong, sentence in (
        ((("a b", "price < 3"),), "letters, digits"),
        ((("a", "price < 3"), ("a", "price < 4")), "a name of its own"),
        (tuple((f"f{number}", "price < 3") for number in range(33)), "at most 32"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            RecommenderOptions(filters=wrong)
    assert _named_filter("cheap=price <= 3 and colour == 'red'") == ("cheap", "price <= 3 and colour == 'red'")
    with pytest.raises(ConfigError, match="takes NAME=EXPRESSION"):
        _named_filter("cheap")
    assert _options_of_newest(tmp_path) == RecommenderOptions()
