from __future__ import annotations

import polars as pl
import pytest

from tfdvbpr.data.captions import check_caption_columns, item_caption
from tfdvbpr.errors import ConfigError

TABLE = pl.DataFrame(
    {"item_id": ["i1", "i2"], "category": ["a", "a"], "Title": ["Red dress", None], "price": ["9", "8"]}
)


def test_an_item_is_named_by_what_the_catalogue_has() -> None:
    assert item_caption(TABLE, 0) == ["Red dress", "i1, 9"]
    assert item_caption(TABLE, 1) == ["i2, 8"]
    assert item_caption(TABLE.select("item_id"), 0) == ["i1"]


def test_columns_by_name() -> None:
    assert item_caption(TABLE, 0, ["price", "Title"]) == ["i1", "9", "Red dress"]
    assert item_caption(TABLE, 1, ["Title"]) == ["i2"]
    assert item_caption(TABLE, 1, []) == ["i2"]
    with pytest.raises(ConfigError, match=r"item_id, category, Title, price\. Received 'prise'\. Nearest: price\."):
        check_caption_columns(TABLE, ["price", "prise"])
