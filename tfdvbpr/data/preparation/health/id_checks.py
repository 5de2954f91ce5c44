"""Ids that differ only in their writing, such as "0012", "12" and "12.0", or "A1" and " a1"."""

from __future__ import annotations

import polars as pl

from tfdvbpr.data.preparation.health.evidence import Evidence, finding
from tfdvbpr.data.preparation.health.report import Finding

_ADVICE = "Write them alike; a spreadsheet removes leading zeros and adds .0."


def plain_id(column: str) -> pl.Expr:
    """An id in lower case, without blanks, leading zeros and a decimal part of zeros."""
    text = pl.col(column).str.to_lowercase().str.replace_all(r"\s", "")
    return text.str.replace(r"^(\d+)\.0+$", "$1").str.replace(r"^0+(.)", "$1")


def unmatched_item_ids(evidence: Evidence) -> Finding | None:
    """Ids of the interactions that are unknown as they are written, and known when written otherwise."""
    items, actions = evidence.source.items.select("item_id").unique(), evidence.source.interactions
    unknown = actions.select("item_id").filter(~pl.col("item_id").is_in(items["item_id"].implode()))
    unknown = unknown.group_by("item_id", maintain_order=True).len()
    if not unknown.height:
        return None
    known = items.select(pl.col("item_id").alias("known"), plain_id("item_id").alias("plain"))
    near = unknown.with_columns(plain_id("item_id").alias("plain")).join(
        known.unique("plain", keep="first", maintain_order=True), on="plain", maintain_order="left"
    )
    if not near.height:
        return None
    pairs = [f"{one!r} for {other!r}" for one, other in near.select("item_id", "known").iter_rows()]
    return finding(
        "unmatched_item_ids",
        "warning",
        f"{near.height:,} item ids of the interactions are those of the items but for case, blanks, zeros or .0.",
        int(near["len"].sum()),
        pairs,
        _ADVICE,
    )


def similar_item_ids(evidence: Evidence) -> Finding | None:
    """Item ids that differ only in their writing."""
    return _similar("similar_item_ids", "items", evidence.source.items, "item_id")


def similar_user_ids(evidence: Evidence) -> Finding | None:
    """User ids that differ only in their writing."""
    return _similar("similar_user_ids", "users", evidence.actions, "user_id")


def _similar(check: str, what: str, table: pl.DataFrame, column: str) -> Finding | None:
    ids = table.select(column).unique(maintain_order=True).with_columns(plain_id(column).alias("plain"))
    if ids["plain"].n_unique() == ids.height:
        return None
    groups = ids.group_by("plain", maintain_order=True).agg(column).filter(pl.col(column).list.len() > 1)
    count = int(groups[column].list.len().sum())
    return finding(
        check,
        "warning",
        f"{count:,} ids differ from one another only by case, blanks, zeros or .0, and count as different {what}.",
        count,
        [", ".join(map(repr, ids)) for ids in groups[column]],
        _ADVICE,
    )


def duplicate_item_ids(evidence: Evidence) -> Finding | None:
    """Item ids that stand in several rows, of which the first counts."""
    rows = [entry for entry in evidence.source.quarantine.entries if entry.kind == "duplicate item id"]
    if not rows:
        return None
    return finding(
        "duplicate_item_ids",
        "warning",
        f"{len(rows):,} rows of the items repeat an item id; the first row of each counts.",
        len(rows),
        dict.fromkeys(entry.item_id for entry in rows),
        "Keep one row for each item; sizes and colours that look alike may share one.",
    )
