"""What an importer is and returns: a `Source` of two tables and images, and the list of what is left out of it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict

from tfdvbpr.files import write_csv

DEFAULT_CATEGORY = "all"
_URL = "Download the images into SOURCE and write their paths in the column image."


class TableFacts(BaseModel):
    """How one table of a source was read, for the health report.

    Attributes:
        name: of the file.
        encoding: such as "utf-8" or "cp1252"; None for formats that have none.
        delimiter: of a CSV file.
        compression: "gzip" or "zstd", None without.
        renamed: the columns that were found under another name, from ours to the file's.
        dates: how the column `timestamp` is written, in words; None where there is none.
        num_lines: lines of a text file, of whatever kind.
        num_rows: rows with the header's number of fields.
        runaway_cells: lines at which a quote opens that is not closed, or that swallows rows; the first hundred.
        num_runaway_cells: how many there are.
        num_lines_in_cells: lines that lie within a quoted cell beyond its first line.
        num_ambiguous_dates: dates that may be day and month or month and day; they count as unknown.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    encoding: str | None = None
    delimiter: str | None = None
    compression: str | None = None
    renamed: dict[str, str] = {}
    dates: str | None = None
    num_lines: int | None = None
    num_rows: int = 0
    runaway_cells: list[int] = []
    num_runaway_cells: int = 0
    num_lines_in_cells: int = 0
    num_ambiguous_dates: int = 0


class QuarantineEntry(NamedTuple):
    """One row or image that was left out.

    Attributes:
        where: the file's name, or the image's path.
        row: its line number from 1; None for a whole file.
        item_id: of the item that it is about, "" where unknown.
        value: what stands there, at most 200 characters.
        kind: the class of the reason.
        detail: the rest of the reason.
        hint: what to do, "" where nothing more can be said.
    """

    where: str
    row: int | None
    item_id: str
    value: str
    kind: str
    detail: str = ""
    hint: str = ""

    @property
    def reason(self) -> str:
        """Kind and detail."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


@dataclass
class Quarantine:
    """A growing list of what was left out and why: bad rows and broken images, counted and never fatal.

    Attributes:
        entries: in the order in which they were found.
        counts: entries by kind.
        tables: how the tables were read, by the name of the file.
    """

    entries: list[QuarantineEntry] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    tables: dict[str, TableFacts] = field(default_factory=dict)

    def add(
        self,
        where: str,
        row: int | None,
        value: str,
        *,
        kind: str,
        detail: str = "",
        item_id: str = "",
        hint: str = "",
    ) -> None:
        """Lists a row by its line number from 1, or a whole file (None); see `QuarantineEntry`.

        The summary counts by `kind`, the reason's class; `detail` is the rest of the reason.
        """
        self.entries.append(QuarantineEntry(where, row, item_id[:200], value[:200], kind, detail, hint))
        self.counts[kind] += 1

    def __len__(self) -> int:
        return len(self.entries)

    def item_ids(self, where: str) -> set[str]:
        """Items whose rows in a table were left out."""
        return {entry.item_id for entry in self.entries if entry.where == where and entry.item_id}

    def write(self, path: Path) -> None:
        """Writes `where,row,item_id,value,reason,hint` as CSV, with the header even when nothing was left out."""
        names = ("where", "row", "item_id", "value", "reason", "hint")
        columns: dict[str, list[Any]] = {name: [getattr(entry, name) for entry in self.entries] for name in names}
        schema = {**dict.fromkeys(names, pl.String), "row": pl.Int64}
        write_csv(pl.DataFrame(columns, schema=schema), path)

    def summary(self) -> str:
        """One line of counts by kind, most frequent first."""
        if not self.counts:
            return "nothing left out"
        return ", ".join(f"{count} {kind}" for kind, count in self.counts.most_common())


def no_hint(image: str) -> str:
    """Nothing to say of an image."""
    return ""


@dataclass(frozen=True)
class Source:
    """Raw material of a prepared dataset.

    Attributes:
        name: for the manifest and for messages.
        items: string columns item_id, category, image and any others (kept as metadata), and `tables.ROW`.
        interactions: string columns user_id, item_id, and `tables.ROW`; optionally `timestamp` (what `dates.read_times`
            reads) and `split` ("train", "validation" or "test": the source's own split). In these two, null and ""
            mean unknown.
        image_bytes: an image file's bytes, by its value in the column `image`; raises OSError.
        quarantine: what the importer already left out.
        items_name: the file of the items, for the quarantine.
        interactions_name: the file of the interactions, for the quarantine.
        image_hint: what to do about an image that cannot be read, by its value in the column `image`; "" for nothing.
    """

    name: str
    items: pl.DataFrame
    interactions: pl.DataFrame
    image_bytes: Callable[[str], bytes]
    quarantine: Quarantine
    items_name: str = "items"
    interactions_name: str = "interactions"
    image_hint: Callable[[str], str] = no_hint


class Importer(BaseModel, ABC):
    """Base of the importers; a subclass's fields are its options, and `read` makes a `Source`.

    Options called `seed` and `image_size` default to those of the preparation.

    Attributes:
        summary: what SOURCE holds, in a sentence, for the help.
        needs_source: whether a SOURCE must be given, may be, or must not.
        reads_addresses: whether SOURCE may be an address, such as s3://bucket/shop; it is a string then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    summary: ClassVar[str]
    needs_source: ClassVar[Literal["yes", "optional", "no"]] = "yes"
    reads_addresses: ClassVar[bool] = False

    @abstractmethod
    def read(self, source: Any) -> Source:
        """Reads the tables; images are read later, one by one.

        Args:
            source: the Path of a file or folder, or None where `needs_source` allows it.

        Raises:
            SourceError: if the source cannot be imported at all.
        """


def image_hint_below(folder: Path) -> Callable[[str], str]:
    """Says why there is no image at a path inside `folder`, by what lies near it."""
    root = folder.resolve()

    @cache
    def names(folder: Path) -> dict[str, str]:
        return {name.casefold(): name for name in os.listdir(folder)}

    def other_case(folder: Path, parts: tuple[str, ...]) -> str:
        """The path as it is there in other letters, such as 1.JPG for 1.jpg, or ""."""
        found = folder
        for part in parts:
            if not found.is_dir() or part.casefold() not in names(found):
                return ""
            found = found / names(found)[part.casefold()]
        return found.relative_to(folder).as_posix()

    def image_hint(image: str) -> str:
        if "://" in image:
            return _URL
        try:
            path, plain = root / image, root / image.replace("\\", "/")
            if plain != path and plain.is_file():
                return "Write / in the place of \\ in the column image."
            if Path(image).is_absolute():
                return "Write paths below SOURCE, such as images/1.jpg, in the column image."
            if path.exists() and not path.resolve().is_relative_to(root):
                return "A folder or file is a link that leaves SOURCE: copy the images into SOURCE."
            other = "" if ".." in path.parts else other_case(root, Path(image).parts)
        except (OSError, ValueError, RuntimeError):
            return ""
        return f"The file is called {other}: capital letters count." if other else ""

    return image_hint


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
