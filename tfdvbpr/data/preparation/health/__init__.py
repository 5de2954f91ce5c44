"""Health checks of a source, run before every import, by `tfdvbpr prepare --check` and `tfdvbpr.check_source`.

HEALTH_CHECKS lists them: a name, and a function from `Evidence` to a `Finding` or None. A prepared dataset carries the
report as `health.json`, which `HealthReport.read` opens:

    {"format_version": 1,
     "source": "shop",
     "tables": [{"name": "items.csv", "encoding": "utf-8", "delimiter": ";", "compression": null,
                 "renamed": {"item_id": "SKU"}, "dates": null, "num_lines": 301, "num_rows": 300,
                 "runaway_cells": [], "num_runaway_cells": 0, "num_lines_in_cells": 0,
                 "num_ambiguous_dates": 0}, ...],
     "items": {"name": "items.csv", "num_rows": 300, "num_lost": 2},
     "interactions": {"name": "interactions.csv", "num_rows": 5000, "num_lost": 31},
     "findings": [{"check": "blank_images", "severity": "warning", "title": "12 images have one colour only.",
                   "count": 12, "examples": ["i17", "i90"], "advice": "Replace them, or leave the items out."}, ...],
     "quarantine": [{"kind": "broken image", "hint": "...", "count": 2, "examples": ["items.csv row 5: i4.jpg"]}, ...]}

Findings stand in the order error, warning, note; an "error" ended the preparation unless it was allowed. At most five
examples each. Texts come from the source in part: show them through `tfdvbpr.text`. Datasets of earlier versions have
no such file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tfdvbpr.data.preparation.health import action_checks, id_checks, item_checks, table_checks
from tfdvbpr.data.preparation.health.evidence import Evidence
from tfdvbpr.data.preparation.health.report import (
    MAX_EXAMPLES,
    SEVERITIES,
    Finding,
    HealthReport,
    QuarantineGroup,
)
from tfdvbpr.data.preparation.source import Quarantine, QuarantineEntry
from tfdvbpr.text import shortened

__all__ = ["HEALTH_CHECKS", "Evidence", "Finding", "HealthReport", "check_health"]

HEALTH_CHECKS: Mapping[str, Callable[[Evidence], Finding | None]] = MappingProxyType(
    {
        "runaway_cells": table_checks.runaway_cells,
        "ambiguous_dates": action_checks.ambiguous_dates,
        "lost_items": table_checks.lost_items,
        "lost_interactions": table_checks.lost_interactions,
        "long_cells": table_checks.long_cells,
        "unmatched_item_ids": id_checks.unmatched_item_ids,
        "similar_item_ids": id_checks.similar_item_ids,
        "similar_user_ids": id_checks.similar_user_ids,
        "duplicate_item_ids": id_checks.duplicate_item_ids,
        "blank_images": item_checks.blank_images,
        "tiny_images": item_checks.tiny_images,
        "repeated_images": item_checks.repeated_images,
        "small_categories": item_checks.small_categories,
        "similar_categories": item_checks.similar_categories,
        "one_action_users": action_checks.one_action_users,
        "nothing_held_out": action_checks.nothing_held_out,
        "repeated_actions": action_checks.repeated_actions,
        "unreadable_times": action_checks.unreadable_times,
        "odd_years": action_checks.odd_years,
    }
)


def check_health(evidence: Evidence) -> HealthReport:
    """Runs every check."""
    found = [finding for check in HEALTH_CHECKS.values() if (finding := check(evidence)) is not None]
    source, (items, interactions) = evidence.source, evidence.lost
    return HealthReport(
        source=source.name,
        tables=tuple(source.quarantine.tables.values()),
        items=items,
        interactions=interactions,
        findings=tuple(sorted(found, key=lambda each: SEVERITIES.index(each.severity))),
        quarantine=quarantine_groups(source.quarantine),
    )


def quarantine_groups(quarantine: Quarantine) -> tuple[QuarantineGroup, ...]:
    """The entries by reason and hint, most frequent first."""
    groups: dict[tuple[str, str], tuple[int, list[str]]] = {}
    for entry in quarantine.entries:
        count, examples = groups.get((entry.kind, entry.hint), (0, []))
        if len(examples) < MAX_EXAMPLES:
            examples.append(_place(entry))
        groups[entry.kind, entry.hint] = count + 1, examples
    listed = [
        QuarantineGroup(kind=kind, hint=hint, count=count, examples=tuple(examples))
        for (kind, hint), (count, examples) in groups.items()
    ]
    return tuple(sorted(listed, key=lambda group: -group.count))


def _place(entry: QuarantineEntry) -> str:
    row = "" if entry.row is None else f" row {entry.row}"
    detail = f" ({shortened(entry.detail, 60)})" if entry.detail else ""
    return f"{entry.where}{row}: {shortened(entry.value, 60)}{detail}"
