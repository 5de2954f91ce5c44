"""What the health checks look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from tfdvbpr.data.interactions import SPLITS, SplitMethod
from tfdvbpr.data.preparation.health.report import MAX_EXAMPLES, Finding, RowsLost, Severity
from tfdvbpr.data.preparation.source import Source
from tfdvbpr.text import shortened

# What is repeated is there once; an item without its category is still there.
NOT_LOST = frozenset(
    {"duplicate action", "duplicate item id", "item id already in the catalogue", "malformed category"}
)
_OF_IMAGES = ("broken image", "no image")


@dataclass(frozen=True)
class Evidence:
    """A source, and what can be used of it.

    Attributes:
        source: tables as they were read; its quarantine is complete.
        items: the usable items.
        actions: the usable actions, columns user_id, item_id, `time` (seconds or null).
        photos: of the usable items, columns item_id, width and height in pixels, and `blank` (bool).
        duplicates: columns item_id and first_item_id: usable items with the image file of an earlier one.
        method: how the actions will be split.
        max_loss: the largest share of rows that may be lost, in [0, 1].
        with_interactions: false where the source is of items alone.
    """

    source: Source
    items: pl.DataFrame
    actions: pl.DataFrame
    photos: pl.DataFrame
    duplicates: pl.DataFrame
    method: SplitMethod = SPLITS["leave-one-out"]
    max_loss: float = 0.05
    with_interactions: bool = True

    @cached_property
    def lost(self) -> tuple[RowsLost, RowsLost]:
        """Of the items and of the interactions."""
        source, (items, actions) = self.source, self.reasons
        return (
            _lost(source.items_name, source.items.height, items),
            _lost(source.interactions_name, source.interactions.height, actions),
        )

    @cached_property
    def reasons(self) -> tuple[Counter[str], Counter[str]]:
        """Entries of the quarantine by kind, of the items and of the interactions."""
        items, actions = Counter[str](), Counter[str]()
        for entry in self.source.quarantine.entries:
            of_items = entry.where == self.source.items_name or entry.kind in _OF_IMAGES
            (items if of_items else actions)[entry.kind] += 1
        return items, actions


def _lost(name: str, num_read: int, kinds: Counter[str]) -> RowsLost:
    lost = sum(count for kind, count in kinds.items() if kind not in NOT_LOST)
    return RowsLost(name=name, num_rows=num_read + kinds["malformed row"], num_lost=lost)


def finding(
    check: str, severity: Severity, title: str, count: int, examples: Iterable[object] = (), advice: str = ""
) -> Finding:
    """A finding with its first examples, each at most 80 characters."""
    shown = [shortened(str(each), 80) for _, each in zip(range(MAX_EXAMPLES), examples, strict=False)]
    return Finding(check=check, severity=severity, title=title, count=count, examples=tuple(shown), advice=advice)
