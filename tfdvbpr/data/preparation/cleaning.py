"""The actions of a source that can be used: times as seconds, each (user, item) pair once, k-core."""

from __future__ import annotations

import numpy as np
import polars as pl

from tfdvbpr.data import DateOrder, SplitKind
from tfdvbpr.data.interactions import SPLITS, Split
from tfdvbpr.data.preparation.dates import read_times
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import Source
from tfdvbpr.errors import SourceError

GIVEN_PARTS = {"train": Split.TRAIN, "validation": Split.VALIDATION, "test": Split.TEST}


def chosen_split(source: Source, requested: SplitKind | None) -> SplitKind:
    """The split to make: the requested one, else the source's own where it has one, else leave-one-out.

    Raises:
        SourceError: if the source lacks what the split needs.
    """
    kind: SplitKind = requested or ("source" if _has(source, "split") else "leave-one-out")
    if SPLITS[kind].needs_times and not _has(source, "timestamp"):
        raise SourceError(
            f"--split {kind} needs a column `timestamp` in {source.interactions_name}. The source has none. "
            "Add it, or choose --split leave-one-out."
        )
    if SPLITS[kind].needs_given and not _has(source, "split"):
        raise SourceError(
            f"--split source needs a column `split` (train, validation, test) in {source.interactions_name}. "
            "The source has none. Add it, or choose --split leave-one-out."
        )
    return kind


def _has(source: Source, column: str) -> bool:
    table = source.interactions
    return column in table.columns and bool((table[column].fill_null("").str.strip_chars() != "").any())


def usable_actions(
    source: Source,
    items: pl.DataFrame,
    *,
    split: SplitKind,
    duplicates: pl.DataFrame | None = None,
    date_order: DateOrder | None = None,
) -> pl.DataFrame:
    """Actions on usable items. Of a repeated action the first in time counts, and without times the first in the file.

    A time or a part of the split that cannot be read puts its row into the quarantine only where the split needs it.

    Args:
        source: its quarantine is filled further, and how its times are written.
        items: the usable items, column item_id.
        split: what the columns `timestamp` and `split` must be good for.
        duplicates: columns item_id and first_item_id: items whose actions move onto another. They are among `items`.
        date_order: of day and month before a year, see `dates.read_times`.

    Returns:
        The source's columns, `time` (float64 seconds, null where unknown) and `part` (uint8 `Split`, null where
        unknown), in the source's order.
    """
    actions = _with_times_and_parts(source, date_order)
    method = SPLITS[split]
    left_out = pl.Series(sorted(source.quarantine.item_ids(source.items_name)), dtype=pl.String)
    named = pl.concat([source.items["item_id"], left_out])
    needs_time, needs_part = pl.lit(method.needs_times), pl.lit(method.needs_given)
    actions = actions.with_columns(
        pl.when(~pl.col("item_id").is_in(named.implode()))
        .then(pl.lit("unknown item id"))
        .when(~pl.col("item_id").is_in(items["item_id"].implode()))
        .then(pl.lit("action on a quarantined item"))
        .when(needs_time & pl.col("time").is_null())
        .then(pl.lit("malformed timestamp"))
        .when(needs_part & pl.col("part").is_null())
        .then(pl.lit("malformed split"))
        .alias("kind")
    )
    actions = _mark_repeated(_moved(actions, duplicates))
    for row in actions.filter(pl.col("kind").is_not_null()).iter_rows(named=True):
        value = f"{row['user_id']},{row['listed_item_id']}"
        column = {"malformed timestamp": "timestamp", "malformed split": "split"}.get(row["kind"])
        detail = repr(row[column] or "")[:200] if column else ""
        item_id = row["listed_item_id"]
        source.quarantine.add(
            source.interactions_name, row[ROW], value, kind=row["kind"], detail=detail, item_id=item_id
        )
    return actions.filter(pl.col("kind").is_null()).drop(ROW, "listed_item_id", "kind")


def _with_times_and_parts(source: Source, date_order: DateOrder | None) -> pl.DataFrame:
    actions = source.interactions
    time: pl.Expr | pl.Series = pl.lit(None, pl.Float64)
    if "timestamp" in actions.columns:
        times = read_times(actions["timestamp"], date_order)
        time = times.seconds
        if facts := source.quarantine.tables.get(source.interactions_name):
            facts.dates = " and ".join(times.forms) or None
            facts.num_ambiguous_dates = int(times.ambiguous.sum())
    part = pl.lit(None, pl.UInt8)
    if "split" in actions.columns:
        name = pl.col("split").str.strip_chars().str.to_lowercase()
        part = name.replace_strict({each: int(part) for each, part in GIVEN_PARTS.items()}, default=None)
    return actions.with_columns(time.alias("time"), part.cast(pl.UInt8).alias("part"))


def _moved(actions: pl.DataFrame, duplicates: pl.DataFrame | None) -> pl.DataFrame:
    """The actions with the items they count for; `listed_item_id` keeps what the source says."""
    actions = actions.with_columns(pl.col("item_id").alias("listed_item_id"))
    if duplicates is None or duplicates.height == 0:
        return actions
    first = dict(duplicates.select("item_id", "first_item_id").iter_rows())
    return actions.with_columns(pl.col("item_id").replace(first))


def _mark_repeated(actions: pl.DataFrame) -> pl.DataFrame:
    row = "__index__"
    usable = actions.with_row_index(row).filter(pl.col("kind").is_null())
    first = usable.sort("time", nulls_last=True, maintain_order=True).unique(["user_id", "item_id"], keep="first")
    repeated = np.zeros(actions.height, bool)
    repeated[usable[row].to_numpy()] = True
    repeated[first[row].to_numpy()] = False
    kind = pl.when(pl.lit(pl.Series(repeated))).then(pl.lit("duplicate action")).otherwise(pl.col("kind"))
    return actions.with_columns(kind.alias("kind"))


def k_core(actions: pl.DataFrame, *, min_user_actions: int, min_item_actions: int) -> pl.DataFrame:
    """The largest part of the actions in which every user and every item has enough of them.

    Taking out a user can leave an item with too few actions, and the reverse, so it goes on until nothing changes. What
    is left does not depend on the order: the union of two such parts is such a part, hence there is one largest.

    Returns:
        The rows that stay, in their order; possibly none.
    """
    enough = (pl.len().over("user_id") >= min_user_actions) & (pl.len().over("item_id") >= min_item_actions)
    while True:
        kept = actions.filter(enough)
        if kept.height == actions.height:
            return kept
        actions = kept
