"""The prepared dataset: a folder that carries everything training needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from tfdvbpr.data import DuplicateHandling, ImageFit, SplitKind
from tfdvbpr.data.images.storage import ItemImages
from tfdvbpr.data.interactions import Interactions
from tfdvbpr.errors import DatasetError, unknown_id
from tfdvbpr.files import sha256


@dataclass(frozen=True)
class Items:
    """The rows of the catalogue, without images.

    Attributes:
        table: columns item_id, category, and the source's other columns as strings; row n is item n.
        categories: category names in the order of their ids.
    """

    table: pl.DataFrame
    categories: tuple[str, ...]

    def __len__(self) -> int:
        return self.table.height

    @cached_property
    def item_ids(self) -> list[str]:
        """The source's item ids."""
        return self.table["item_id"].to_list()

    @cached_property
    def category_ids(self) -> npt.NDArray[np.int32]:
        """int32 [num_items], contiguous from 0."""
        index = {name: number for number, name in enumerate(self.categories)}
        return np.array([index[name] for name in self.table["category"]], dtype=np.int32)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {item_id: number for number, item_id in enumerate(self.item_ids)}

    def indices(self, item_ids: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32 [N]: rows of the given items.

        Raises:
            UnknownIdError: if one is not in the catalogue.
        """
        return _rows("item", item_ids, self._index)

    def category_id(self, category: str) -> int:
        """The id of a category.

        Raises:
            UnknownIdError: if there is no such category.
        """
        if category not in self.categories:
            raise unknown_id("category", category, self.categories)
        return self.categories.index(category)


FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
ITEMS_NAME = "items.parquet"
USERS_NAME = "users.parquet"
INTERACTIONS_NAME = "interactions.parquet"
QUARANTINE_NAME = "quarantine.csv"
DUPLICATES_NAME = "duplicates.csv"


class FileRecord(BaseModel):
    """Size and hash of one file of the folder."""

    model_config = ConfigDict(frozen=True)
    num_bytes: int
    sha256: str


class Manifest(BaseModel):
    """Counts, options and hashes of a prepared dataset (`manifest.json`).

    Fields with a default were added after the first release; None means not counted.
    """

    model_config = ConfigDict(frozen=True)
    format_version: int
    name: str
    source_format: str
    image_size: tuple[int, int]
    fit: ImageFit
    seed: int
    withhold_items: float
    split: SplitKind = "leave-one-out"
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    min_user_actions: int = 0
    min_item_actions: int = 0
    duplicates: DuplicateHandling = "keep"
    categories: tuple[str, ...]
    num_users: int
    num_items: int
    num_interactions: int
    num_train: int
    num_validation: int
    num_test: int
    num_withheld: int
    num_timed: int = 0
    num_untrained_users: int | None = None
    num_cold_items: int
    num_quarantined: int
    quarantine: dict[str, int]
    filtered: dict[str, int] = {}
    num_duplicate_items: int | None = None
    fingerprint: str
    files: dict[str, FileRecord]


class PreparedDataset:
    """A prepared dataset, opened for reading.

    Attributes:
        path: its folder.
        manifest: counts, options and hashes.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: Path | str, *, verify: bool = False) -> PreparedDataset:
        """Opens a folder made by `tfdvbpr prepare`.

        Args:
            path: the folder.
            verify: also check every file against its hash.

        Raises:
            DatasetError: if it is not a prepared dataset, is of another version, or a file is missing or damaged.
        """
        path = Path(path)
        try:
            manifest = Manifest.model_validate_json((path / MANIFEST_NAME).read_bytes())
        except FileNotFoundError:
            raise DatasetError(
                f"DATASET must be a folder made by `tfdvbpr prepare`. {path} has no {MANIFEST_NAME}. "
                "Run `tfdvbpr prepare SOURCE --output DATASET` first."
            ) from None
        except (ValidationError, OSError) as error:
            raise DatasetError(
                f"{path / MANIFEST_NAME} must be a manifest of this library. It cannot be read "
                f"({str(error).splitlines()[0]}). Prepare it again."
            ) from None
        if manifest.format_version != FORMAT_VERSION:
            raise DatasetError(
                f"DATASET must be of format version {FORMAT_VERSION}. {path} is of version {manifest.format_version}. "
                "Prepare it again with this version of tfdvbpr."
            )
        for name, record in manifest.files.items():
            file = path / name
            if (
                not file.is_file()
                or file.stat().st_size != record.num_bytes
                or (verify and sha256(file) != record.sha256)
            ):
                raise DatasetError(f"{file} must agree with the manifest; it is missing or damaged. Prepare it again.")
        return cls(path, manifest)

    @cached_property
    def items(self) -> Items:
        """The catalogue's rows."""
        return Items(pl.read_parquet(self.path / ITEMS_NAME, glob=False), self.manifest.categories)

    @cached_property
    def images(self) -> ItemImages:
        """The catalogue's images."""
        return ItemImages(self.path, image_size=self.manifest.image_size, fit=self.manifest.fit)

    @cached_property
    def user_ids(self) -> list[str]:
        """The source's user ids; user n is the n-th."""
        return pl.read_parquet(self.path / USERS_NAME, glob=False)["user_id"].to_list()

    @cached_property
    def interactions(self) -> Interactions:
        """Every action, with its part of the split."""
        return Interactions.read(
            self.path / INTERACTIONS_NAME, num_users=self.manifest.num_users, num_items=self.manifest.num_items
        )

    def user_indices(self, user_ids: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32 [N]: rows of the given users.

        Raises:
            UnknownIdError: if one has no action in the dataset.
        """
        return _rows("user", user_ids, {user_id: row for row, user_id in enumerate(self.user_ids)})


def _rows(kind: str, names: Sequence[str], index: Mapping[str, int]) -> npt.NDArray[np.int32]:
    for name in names:
        if name not in index:
            raise unknown_id(kind, name, index)
    return np.array([index[name] for name in names], dtype=np.int32)
