"""What sections of a report are made of; page.html.jinja knows how each kind is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    kind: ClassVar[str] = "points"
    texts: Sequence[str]


@dataclass(frozen=True)
class DataTable:
    """A table, the first column to the left and the others to the right.

    Attributes:
        headings: of the columns.
        rows: texts.
        best: (row, column) of cells to mark.
        wide: whether the other columns are texts too, to the left.
    """

    kind: ClassVar[str] = "table"
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: frozenset[tuple[int, int]] = frozenset()
    wide: bool = False


@dataclass(frozen=True)
class Plot:
    """An image of a plot, with what it shows in words."""

    kind: ClassVar[str] = "plot"
    uri: str
    alternative: str


@dataclass(frozen=True)
class Tile:
    """One image of a gallery with its lines of text; marked ones have a frame."""

    uri: str
    lines: Sequence[str] = ()
    marked: bool = False


@dataclass(frozen=True)
class Gallery:
    """A row of images under a title."""

    kind: ClassVar[str] = "gallery"
    title: str
    tiles: Sequence[Tile] = field(default_factory=tuple)


Block = Paragraph | Heading | Points | DataTable | Plot | Gallery
