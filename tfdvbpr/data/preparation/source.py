"""What an importer is and returns: a `Source` of two tables and images, and the list of what is left out of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from tfdvbpr.files import write_csv

DEFAULT_CATEGORY = "all"


@dataclass
class Quarantine:
    """A growing list of what was left out and why: bad rows and broken images, counted and never fatal.

    Attributes:
        entries: (where, row, value, reason): a file's name, its line number or None for a whole file, what stood there,
            and a sentence.
    """

    entries: list[tuple[str, int | None, str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, where: str, row: int | None, value: str, *, kind: str, detail: str = "") -> None:
        """Lists a row by its line number from 1, or a whole file (None), with `value` shortened to 200 characters.

        The summary counts by `kind`, the reason's class; `detail` is the rest of the reason.
        """
        self.entries.append((where, row, value[:200], f"{kind}: {detail}" if detail else kind))
        self.counts[kind] += 1

    def __len__(self) -> int:
        return len(self.entries)

    def write(self, path: Path) -> None:
        """Writes `where,row,value,reason` as CSV, with the header even when nothing was left out."""
        schema = {"where": pl.String, "row": pl.Int64, "value": pl.String, "reason": pl.String}
        write_csv(pl.DataFrame(self.entries, schema=schema, orient="row"), path)

    def summary(self) -> str:
        """One line of counts by kind, most frequent first."""
        if not self.counts:
            return "nothing left out"
        return ", ".join(f"{count} {kind}" for kind, count in self.counts.most_common())


@dataclass(frozen=True)
class Source:
    """Raw material of a prepared dataset.

    Attributes:
        name: for the manifest and for messages.
        items: string columns item_id, category, image and any others (kept as metadata), and `tables.ROW`.
        interactions: string columns user_id, item_id, and `tables.ROW`; optionally `timestamp` (what `cleaning.seconds`
            reads) and `split` ("train", "validation" or "test": the source's own split). In these two, null and ""
            mean unknown.
        image_bytes: an image file's bytes, by its value in the column `image`; raises OSError.
        quarantine: what the importer already left out.
        items_name: the file of the items, for the quarantine.
        interactions_name: the file of the interactions, for the quarantine.
    """

    name: str
    items: pl.DataFrame
    interactions: pl.DataFrame
    image_bytes: Callable[[str], bytes]
    quarantine: Quarantine
    items_name: str = "items"
    interactions_name: str = "interactions"


class Importer(BaseModel, ABC):
    """Base of the importers; a subclass's fields are its options, and `read` makes a `Source`.

    Options called `seed` and `image_size` default to those of the preparation.

    Attributes:
        summary: what SOURCE holds, in a sentence, for the help.
        needs_source: whether a SOURCE must be given, may be, or must not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    summary: ClassVar[str]
    needs_source: ClassVar[Literal["yes", "optional", "no"]] = "yes"

    @abstractmethod
    def read(self, source: Any) -> Source:
        """Reads the tables; images are read later, one by one.

        Args:
            source: the Path of a file or folder, or None where `needs_source` allows it.

        Raises:
            SourceError: if the source cannot be imported at all.
        """


def images_below(folder: Path) -> Callable[[str], bytes]:
    """Reads an image's bytes by its path inside `folder`; raises OSError for what is missing or lies outside."""
    root = folder.resolve()

    def image_bytes(image: str) -> bytes:
        try:
            path = (root / image).resolve()
        except (ValueError, RuntimeError):  # a NUL, or links in a circle
            raise OSError("not a path") from None
        if not path.is_relative_to(root):
            raise OSError("the path leaves the source folder")
        return path.read_bytes()

    return image_bytes
