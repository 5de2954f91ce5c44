"""Where bad rows and broken images are listed: counted, never dropped in silence, never fatal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl


@dataclass
class Quarantine:
    """A growing list of what was left out and why.

    Attributes:
        entries: (where, row, value, reason): a file's name, its line number or None for a whole file, what stood there,
            and a sentence.
    """

    entries: list[tuple[str, int | None, str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, where: str, row: int | None, value: str, *, kind: str, detail: str = "") -> None:
        """Lists one row or file.

        Args:
            where: the file it stands in.
            row: the line number, from 1, or None for the file itself.
            value: what stood there, shortened to 200 characters.
            kind: the reason's class, by which the summary counts.
            detail: the rest of the reason.
        """
        self.entries.append((where, row, value[:200], f"{kind}: {detail}" if detail else kind))
        self.counts[kind] += 1

    def __len__(self) -> int:
        return len(self.entries)

    def write(self, path: Path) -> None:
        """Writes `where,row,value,reason` as CSV, with the header even when nothing was left out."""
        schema = {"where": pl.String, "row": pl.Int64, "value": pl.String, "reason": pl.String}
        pl.DataFrame(self.entries, schema=schema, orient="row").write_csv(path)

    def summary(self) -> str:
        """One line of counts by kind, most frequent first."""
        if not self.counts:
            return "nothing left out"
        return ", ".join(f"{count} {kind}" for kind, count in self.counts.most_common())
