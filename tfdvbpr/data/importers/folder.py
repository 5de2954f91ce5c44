"""A folder of your own: tables of items and interactions, and images."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import polars as pl
from pydantic import BeforeValidator, Field

from tfdvbpr.data.importers.remote import RemoteFolder, is_address
from tfdvbpr.data.preparation.columns import Columns
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import (
    DEFAULT_CATEGORY,
    Importer,
    Quarantine,
    Source,
    TableFacts,
    image_hint_below,
    images_below,
    no_hint,
)
from tfdvbpr.data.preparation.tables import read_table
from tfdvbpr.errors import ConfigError, SourceError, check_choice

ColumnName = Literal["item_id", "image", "category", "user_id", "timestamp", "split"]
_Names = Annotated[tuple[str, ...], BeforeValidator(lambda names: (names,) if isinstance(names, str) else names)]


class FolderImporter(Importer):
    """Reads a folder of two tables and images; see `read_folder`."""

    summary: ClassVar[str] = (
        "a folder with items.csv (item_id, image, optionally category and more), interactions.csv (user_id, item_id, "
        "optionally timestamp and split), and the images. Tables may also be .tsv, .jsonl, .parquet, .csv.gz, .csv.zst "
        "or a folder of parquet files. SOURCE may be an address, such as s3://bucket/shop (pip install "
        "'tfdvbpr[remote]')."
    )

    reads_addresses: ClassVar[bool] = True

    columns: dict[ColumnName, _Names] = Field({}, description="What the tables call our columns.")

    def read(self, source: Path | str) -> Source:
        """Reads the tables of a source folder, of this machine or behind an address; see `RemoteFolder`."""
        if not is_address(source):
            return read_folder(Path(source), columns=self.columns)
        remote = RemoteFolder(str(source))
        read = read_folder(remote.fetch_tables(), columns=self.columns)
        return replace(read, image_bytes=remote.image_bytes, image_hint=no_hint)


def parse_columns(texts: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Names by our column from texts such as "item_id=sku,image=photo"; a column may have several, for two tables.

    Raises:
        ConfigError: if a part has no "=", or names none of our columns.
    """
    columns: dict[str, tuple[str, ...]] = {}
    for pair in ",".join(texts).split(","):
        ours, separator, theirs = (part.strip() for part in pair.partition("="))
        if not (ours and separator and theirs):
            raise ConfigError(f"--columns takes OURS=THEIRS,..., such as item_id=sku,image=photo. Received {pair!r}.")
        check_choice("columns", ours, get_args(ColumnName))
        columns[ours] = (*columns.get(ours, ()), theirs)
    return columns


def read_folder(
    folder: Path, *, with_interactions: bool = True, columns: Mapping[Any, Collection[str]] | None = None
) -> Source:
    """Reads the tables of a source folder.

    Args:
        folder: holds a table `items` (`item_id`, `image` as a path inside the folder, and optionally `category` and any
            other columns), a table `interactions` (`user_id`, `item_id`, and optionally `timestamp` and `split`, see
            `Source`), both as `tables.read_table` reads them, and the images.
        with_interactions: false for items alone, as new items are.
        columns: by our name, the names that the tables have in its place; None where the user cannot give any.

    Raises:
        SourceError: if the folder, a table or a required column is missing, or a given name is in no table.
    """
    folder = Path(folder)
    if not folder.is_dir():
        tables = "items.csv and interactions.csv" if with_interactions else "items.csv"
        raise SourceError(f"SOURCE must be a folder with {tables}. There is no folder {folder}.")
    quarantine = Quarantine()
    of_items = Columns(("item_id", "image", "category"), given=columns)
    items = read_table(
        folder, "items", required=of_items.known[:2], filled=("item_id",), quarantine=quarantine, columns=of_items
    )
    if with_interactions:
        of_actions = Columns(("user_id", "item_id", "timestamp", "split"), given=columns, others=False)
        interactions = read_table(
            folder, "interactions", required=of_actions.known[:2], quarantine=quarantine, columns=of_actions
        )
    else:
        interactions = pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String, ROW: pl.Int64})
    _check_given(columns or {}, quarantine.tables)
    if "category" not in items.columns:
        items = items.with_columns(pl.lit(None, pl.String).alias("category"))
    items = items.with_columns(pl.col("category").replace("", None).fill_null(DEFAULT_CATEGORY))
    names = list(quarantine.tables)
    return Source(
        folder.resolve().name,
        items,
        interactions,
        images_below(folder),
        quarantine,
        names[0],
        names[1] if with_interactions else "interactions",
        image_hint_below(folder),
    )


def _check_given(columns: Mapping[Any, Collection[str]], tables: Mapping[str, TableFacts]) -> None:
    """Refuses names that are in no table: they are misspelt."""
    for ours, names in columns.items():
        found = {facts.renamed.get(ours, ours).casefold() for facts in tables.values()}
        for name in names:
            if name.strip().casefold() not in found:
                raise SourceError(
                    f"--columns {ours}={name} must name a column of {' or '.join(tables)}. Neither has it. Check the "
                    "header."
                )
