"""Which columns of a table are read, and under which names: ours in any case, or those that the user gives."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import TableFacts
from tfdvbpr.errors import SourceError

_log = logging.getLogger(__name__)

# What shops call our columns; for the advice alone, nothing is renamed by it.
_LIKELY = {
    "item_id": ("sku", "product_id", "productid", "article_id", "asin", "item", "product", "id"),
    "image": ("image_path", "img", "photo", "foto", "image_url", "image_link", "file", "filename", "path"),
    "user_id": ("customer_id", "customer", "user", "shopper_id", "client_id", "visitor_id"),
}


@dataclass(frozen=True)
class Columns:
    """The columns to read of a table.

    Attributes:
        known: names that have a meaning; a header in other case, or with blanks beside it, is taken for them.
        given: by known name, what the file may call it (`--columns`); None where the user cannot give any.
        others: whether columns of other names are kept, under their own.
        required: known names that must be there.

    Example:
        >>> columns = Columns(("item_id", "image"), given={"item_id": ("sku",)})
        >>> columns.names(["SKU", "Image", "price"], TableFacts(name="items.csv"))
        ['item_id', 'image', 'price']
    """

    known: tuple[str, ...] = ()
    given: Mapping[str, Collection[str]] | None = None
    others: bool = True
    required: tuple[str, ...] = ()

    def names(self, header: Sequence[str], facts: TableFacts) -> list[str | None]:
        """The name of each column of a header, None for those that are not read; fills in `facts.renamed`.

        Raises:
            SourceError: if two columns have one name, or a required one is missing.
        """
        header = [name.strip() for name in header]
        plain = [name.casefold() for name in header]
        names: list[str | None] = [name or None for name in header]
        for ours in self.known:
            place = self._place(ours, header, plain)
            if place is None:
                continue
            if (other := names.index(ours) if ours in names else place) != place:
                _log.warning("%s: %s stands for %s, which is not read", facts.name, header[place], ours)
                names[other] = None
            names[place] = ours
            if header[place] != ours:
                facts.renamed[ours] = header[place]
        self._check(header, names, facts.name)
        read = [name if name != ROW and (self.others or name in self.known) else None for name in names]
        twice = sorted({name for name in read if name is not None and read.count(name) > 1})
        if twice:
            raise SourceError(
                f"{facts.name} must name each column once. It has {', '.join(twice)[:300]} twice. Rename one of them."
            )
        return read

    def _place(self, ours: str, header: list[str], plain: list[str]) -> int | None:
        """Where a known column stands: under a given name, else under its own, else under its own in another case."""
        for name in (self.given or {}).get(ours, ()):
            if name.strip().casefold() in plain:
                return plain.index(name.strip().casefold())
        if ours in header:
            return header.index(ours)
        return plain.index(ours.casefold()) if ours.casefold() in plain else None

    def _check(self, header: list[str], names: list[str | None], table: str) -> None:
        """Refuses a table that lacks a required column."""
        missing = [column for column in self.required if column not in names]
        if not missing:
            return
        advice = f"Name or rename {', '.join(missing)} in its header"
        if self.given is not None:
            plain = {column.casefold(): column for column in reversed(header)}
            likely = {ours: [plain[each] for each in _LIKELY.get(ours, ()) if each in plain] for ours in missing}
            pairs = ",".join(f"{ours}={(theirs or ['NAME'])[0]}" for ours, theirs in likely.items())
            advice += f", or give its own names, such as --columns {pairs}"
        received = (", ".join(filter(None, header)) or "none")[:300]
        raise SourceError(
            f"{table} must have the columns {', '.join(self.required)}. It lacks {', '.join(missing)}. "
            f"Received {received}. {advice}."
        )
