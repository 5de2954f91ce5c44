"""Users whose actions are too few, and times that cannot be or should not be trusted."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import polars as pl

from tfdvbpr.data.interactions import MIN_ACTIONS_TO_EVALUATE
from tfdvbpr.data.preparation.dates import DAY_AND_MONTH
from tfdvbpr.data.preparation.health.evidence import Evidence, finding
from tfdvbpr.data.preparation.health.report import Finding

_YEAR = 365.25 * 86_400.0
_EARLY = 20 * _YEAR  # 1990, before shops kept clicks
_FEW = 0.1


def one_action_users(evidence: Evidence) -> Finding | None:
    """Users with one action."""
    sizes = evidence.actions.group_by("user_id", maintain_order=True).len()
    single = sizes.filter(pl.col("len") == 1)
    share = single.height / max(sizes.height, 1)
    if share < _FEW:
        return None
    return finding(
        "one_action_users",
        "warning" if share >= 0.5 else "note",
        f"{single.height:,} of {sizes.height:,} users ({share:.0%}) have one action only.",
        single.height,
        single["user_id"],
        "Little can be learned from them; bring a longer period, views beside purchases, or --min-user-actions 2.",
    )


def nothing_held_out(evidence: Evidence) -> Finding | None:
    """A split by user that leaves nobody to evaluate."""
    if not evidence.method.by_user or not evidence.actions.height:
        return None
    sizes = evidence.actions.group_by("user_id").len()["len"]
    if (sizes >= MIN_ACTIONS_TO_EVALUATE).any():
        return None
    return finding(
        "nothing_held_out",
        "warning",
        f"No user has {MIN_ACTIONS_TO_EVALUATE} actions, so nothing is held out and no model can be evaluated.",
        len(sizes),
        advice="Bring a longer period, or actions of other kinds, such as views.",
    )


def repeated_actions(evidence: Evidence) -> Finding | None:
    """Actions that are there more than once, of which the first counts."""
    source = evidence.source
    rows = [entry for entry in source.quarantine.entries if entry.kind == "duplicate action"]
    if not rows:
        return None
    return finding(
        "repeated_actions",
        "note",
        f"{len(rows):,} of {evidence.lost[1].num_rows:,} interactions repeat a user and an item; the first counts.",
        len(rows),
        [f"{entry.where} row {entry.row}: {entry.value}" for entry in rows[:5]],
        "Nothing, unless there should be more items or users than there are.",
    )


def ambiguous_dates(evidence: Evidence) -> Finding | None:
    """Dates that may be day and month or month and day, where no row says which."""
    count = _num_ambiguous(evidence)
    if not count:
        return None
    return finding(
        "ambiguous_dates",
        "error",
        f"{count:,} dates may be day and month or month and day, and the column does not say which.",
        count,
        evidence.source.interactions["timestamp"].unique(maintain_order=True).sort(descending=True).head(5),
        "Say it by --date-order dmy or --date-order mdy; with --allow ambiguous_dates these times count as unknown.",
    )


def _num_ambiguous(evidence: Evidence) -> int:
    facts = evidence.source.quarantine.tables.get(evidence.source.interactions_name)
    return facts.num_ambiguous_dates if facts else 0


def unreadable_times(evidence: Evidence) -> Finding | None:
    """Times that are written in a way that is not understood."""
    source, actions = evidence.source, evidence.actions
    quarantined = [entry for entry in source.quarantine.entries if entry.kind == "malformed timestamp"]
    written = pl.col("timestamp").fill_null("") != ""
    if _num_ambiguous(evidence):  # another finding's
        written &= ~pl.col("timestamp").str.contains(DAY_AND_MONTH)
        quarantined = [entry for entry in quarantined if not re.match(DAY_AND_MONTH, entry.detail.strip("' "))]
    kept = (
        actions.filter(pl.col("time").is_null() & written)["timestamp"].to_list()
        if "timestamp" in actions.columns
        else []
    )
    count = len(quarantined) + len(kept)
    if not count:
        return None
    consequence = "are left out" if evidence.method.needs_times else "count as unknown"
    return finding(
        "unreadable_times",
        "warning",
        f"{count:,} times cannot be read; they {consequence}.",
        count,
        dict.fromkeys([*kept, *(entry.detail for entry in quarantined)]),
        "Write them as 2024-02-29T17:05:01, or as seconds since 1970.",
    )


def odd_years(evidence: Evidence) -> Finding | None:
    """Times far from all others, or all of them before shops kept clicks."""
    times = evidence.actions["time"].drop_nulls()
    if not len(times):
        return None
    low, middle, high = (float(times.quantile(q) or 0.0) for q in (0.05, 0.5, 0.95))
    margin = 2.0 * max(high - low, _YEAR)
    odd = times.filter((times < low - margin) | (times > high + margin) | (times < _EARLY) & (middle >= _EARLY))
    if middle < _EARLY:
        odd = times.filter(times < _EARLY)
    if not len(odd):
        return None
    years = sorted({_date(time)[:4] for time in odd.sort().head(1000)})
    where = "before 1990" if middle < _EARLY else f"far from the rest, which is about {_date(middle)}"
    return finding(
        "odd_years",
        "warning",
        f"{len(odd):,} of {len(times):,} times lie {where}.",
        len(odd),
        years,
        "Check the unit and the form of the column timestamp; an empty date often becomes 1970 or 1900.",
    )


def _date(seconds: float) -> str:
    return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%d")
