"""The actions of a source that can be used: timestamps as seconds, each (user, item) pair once, k-core."""

from __future__ import annotations

import numpy as np
import polars as pl

from tfdvbpr.data import SplitKind
from tfdvbpr.data.interactions import SPLITS, Split
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import Source
from tfdvbpr.errors import SourceError

# Seconds beyond this lie after the year 5138; milliseconds have reached it in 1973.
_MILLISECONDS_FROM = 1e11
_YEAR_1, _YEAR_10000 = -62_135_596_800.0, 253_402_300_800.0
_ISO = (
    r"^(?P<date>\d{4}-\d\d-\d\d)(?:[Tt ](?P<time>\d\d:\d\d)(?::(?P<second>\d\d(?:\.\d+)?))?"
    r"\s*(?P<zone>[Zz]|UTC|[+-]\d\d(?::?\d\d)?)?)?$"
)

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
    source: Source, items: pl.DataFrame, *, split: SplitKind, duplicates: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Actions on usable items. Of a repeated action the first in time counts, and without times the first in the file.

    A time or a part of the split that cannot be read puts its row into the quarantine only where the split needs it.

    Args:
        source: its quarantine is filled further.
        items: the usable items, column item_id.
        split: what the columns `timestamp` and `split` must be good for.
        duplicates: columns item_id and first_item_id: items whose actions move onto another. They are among `items`.

    Returns:
        The source's columns, `time` (float64 seconds, null where unknown) and `part` (uint8 `Split`, null where
        unknown), in the source's order.
    """
    actions = _with_times_and_parts(source.interactions)
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


def _with_times_and_parts(actions: pl.DataFrame) -> pl.DataFrame:
    time = seconds("timestamp") if "timestamp" in actions.columns else pl.lit(None, pl.Float64)
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


def seconds(column: str) -> pl.Expr:
    """Seconds since 1970-01-01 UTC, float64, of a column of strings; null where it holds no time.

    Understood are numbers (seconds, with a fraction or without; milliseconds where larger than 10^11 in size) and ISO
    8601 dates and datetimes with hyphens and colons, such as 2024-02-29, 2024-02-29 17:05 and
    2024-02-29T17:05:01.5+01:00. Without a zone they are UTC. Years lie in 1..9999.
    """
    text = pl.col(column).str.strip_chars()
    number = text.cast(pl.Float64, strict=False)
    microseconds = (number * pl.when(number.abs() > _MILLISECONDS_FROM).then(1e3).otherwise(1e6)).round()
    in_reach = (microseconds >= _YEAR_1 * 1e6) & (microseconds < _YEAR_10000 * 1e6)  # false for NaN and infinity
    # Whole microseconds first, so that the same time is the same number however it was written.
    whole = pl.coalesce(pl.when(in_reach).then(microseconds).cast(pl.Int64), _iso_microseconds(text))
    return whole / 1e6


def _iso_microseconds(text: pl.Expr) -> pl.Expr:
    groups = text.str.extract_groups(_ISO)
    parts = {name: groups.struct.field(name) for name in ("date", "time", "second", "zone")}
    time = parts["time"].fill_null("00:00") + ":" + parts["second"].fill_null("00")
    local = (parts["date"] + " " + time).str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    sign = pl.when(parts["zone"].str.starts_with("-")).then(-1).otherwise(1)
    digits = parts["zone"].str.replace_all(r"\D", "")
    hours = digits.str.slice(0, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = digits.str.slice(2, 2).cast(pl.Int64, strict=False).fill_null(0)
    microseconds = local.dt.epoch("us") - sign * (hours * 3600 + minutes * 60) * 1_000_000
    in_reach = (microseconds >= int(_YEAR_1) * 1_000_000) & (microseconds < int(_YEAR_10000) * 1_000_000)
    return pl.when(in_reach).then(microseconds)


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
