"""What is wrong with the tables as files: quotes, and rows that are lost."""

from __future__ import annotations

from collections import Counter

from tfdvbpr.data.preparation.health.evidence import NOT_LOST, Evidence, finding
from tfdvbpr.data.preparation.health.report import Finding, RowsLost

_MANY_LINES = 0.2


def runaway_cells(evidence: Evidence) -> Finding | None:
    """Quotes that are not closed, or that are closed rows later."""
    tables = [table for table in evidence.source.quarantine.tables.values() if table.num_runaway_cells]
    count = sum(table.num_runaway_cells for table in tables)
    if not count:
        return None
    places = [f"{table.name} line {line}" for table in tables for line in table.runaway_cells]
    return finding(
        "runaway_cells",
        "error",
        f"{count:,} quotes are not closed where their cell ends; a CSV reader takes the next rows for text.",
        count,
        places,
        'Close the quotes, or write "" for a quote within a cell; --allow runaway_cells leaves these rows out.',
    )


def lost_items(evidence: Evidence) -> Finding | None:
    """Items that cannot be used."""
    return _lost("lost_items", "items", evidence.lost[0], evidence.reasons[0], evidence.max_loss)


def lost_interactions(evidence: Evidence) -> Finding | None:
    """Interactions that cannot be used."""
    return _lost("lost_interactions", "interactions", evidence.lost[1], evidence.reasons[1], evidence.max_loss)


def _lost(check: str, what: str, lost: RowsLost, kinds: Counter[str], max_loss: float) -> Finding | None:
    if not lost.num_lost:
        return None
    reasons = [f"{count:,} {kind}" for kind, count in kinds.most_common() if kind not in NOT_LOST]
    share = f"{lost.num_lost:,} of {lost.num_rows:,} {what} ({lost.share:.1%}) are lost"
    too_many = lost.share > max_loss
    limit = f", more than --max-loss {max_loss:.0%}" if too_many else ""
    return finding(
        check,
        "error" if too_many else "warning",
        f"{'Most of the table: ' if lost.share > 0.5 else ''}{share}{limit}.",
        lost.num_lost,
        reasons,
        "See the reasons in quarantine.csv and correct the source"
        + (f", or allow it with --max-loss {min(int(lost.share * 100) + 1, 100)}%." if too_many else "."),
    )


def long_cells(evidence: Evidence) -> Finding | None:
    """Files in which many lines lie within quoted cells."""
    for table in evidence.source.quarantine.tables.values():
        if table.num_lines and table.num_lines_in_cells > _MANY_LINES * table.num_lines:
            return finding(
                "long_cells",
                "warning",
                f"{table.num_lines:,} lines of {table.name} make {table.num_rows:,} rows: "
                f"{table.num_lines_in_cells:,} lines lie within quoted cells.",
                table.num_lines_in_cells,
                [table.name],
                "Compare the number of rows with the shop's; a quote that is not closed takes rows for text.",
            )
    return None
