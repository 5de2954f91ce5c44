"""What stands below a product photo: its id, and columns of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tfdvbpr.errors import ConfigError
from tfdvbpr.suggestions import nearest

# Column names, whatever their case; of each line the first that the catalogue has.
TITLE_COLUMNS, PRICE_COLUMNS = ("title", "name", "product_name", "prod_name"), ("price",)


def item_caption(table: pl.DataFrame, row: int, columns: Sequence[str] | None = None) -> list[str]:
    """Lines on an item: those columns that have a value, and its id.

    Args:
        table: of the items.
        row: of the item.
        columns: names of columns, a line each. Left out: the title, and the price beside the id, where there are
            columns of such names.

    Returns:
        At least the id.

    Raises:
        ConfigError: if there is no such column.

    Example:
        >>> item_caption(pl.DataFrame({"item_id": ["i1"], "title": ["Red dress"], "price": ["9"]}), 0)
        ['Red dress', 'i1, 9']
    """
    item_id = str(table["item_id"][row])
    if columns is not None:
        check_caption_columns(table, columns)
        values = [str(table[name][row] or "") for name in columns]
        return [item_id, *(value for value in values if value)]
    title, price = _first(table, row, TITLE_COLUMNS), _first(table, row, PRICE_COLUMNS)
    return [*filter(None, [title]), ", ".join(filter(None, [item_id, price]))]


def check_caption_columns(table: pl.DataFrame, columns: Sequence[str]) -> None:
    """Refuses names that are no columns.

    Raises:
        ConfigError: naming the columns there are.
    """
    for name in columns:
        if name not in table.columns:
            near = nearest(name, table.columns)
            raise ConfigError(
                f"`captions` must be columns of the items: {', '.join(table.columns)}. Received {name!r}."
                + f" Nearest: {', '.join(near)}." * bool(near)
            )


def _first(table: pl.DataFrame, row: int, names: Sequence[str]) -> str:
    columns = {name.lower(): name for name in table.columns}
    values = (table[columns[name]][row] for name in names if name in columns)
    return str(next((value for value in values if value not in (None, "")), ""))
