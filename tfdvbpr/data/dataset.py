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

from tfdvbpr.data import DuplicateHandling, ImageFit, ImageSide, SplitKind
from tfdvbpr.data.images.storage import IMAGES_NAME, ItemImages
from tfdvbpr.data.interactions import Interactions
from tfdvbpr.data.parquet import read_parquet
from tfdvbpr.errors import DatasetError, unknown_id
from tfdvbpr.files import reading, sha256


@dataclass(frozen=True)
class Items:
    """The rows of the catalogue, without images.

    Attributes:
        table: columns item_id, category, and the source's other columns as strings; row n is item n.
        categories: category names in the order of their ids.
    """

    table: pl.DataFrame
    categories: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, *, categories: tuple[str, ...], num_items: int) -> Items:
        """Reads the table of a dataset or a run, and holds it against the manifest's categories and number of items.

        Raises:
            OSError: if it cannot be opened.
            ValueError: if it is damaged or another.
        """
        table = read_parquet(path, {"item_id": pl.String, "category": pl.String}, rows=num_items)
        unknown = set(table["category"].unique()) - set(categories)
        if unknown or table["item_id"].n_unique() < table.height:
            raise ValueError("its ids must be distinct, and its categories those of the manifest")
        return cls(table, categories)

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
HEALTH_NAME = "health.json"
_AGAIN = "Prepare it again."


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
    image_size: tuple[ImageSide, ImageSide]
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
        missing = [
            name for name in (ITEMS_NAME, USERS_NAME, INTERACTIONS_NAME, IMAGES_NAME) if name not in manifest.files
        ]
        if missing:
            raise DatasetError(f"{path / MANIFEST_NAME} must list {missing[0]}. It does not. {_AGAIN}")
        dataset = cls(path, manifest)
        dataset._check_files(verify=verify)
        return dataset

    def verify(self) -> None:
        """Holds every file against its hash; images that were changed in place have the same size.

        Raises:
            DatasetError: if one is missing, damaged or another.
        """
        self._check_files(verify=True)

    def _check_files(self, *, verify: bool) -> None:
        for name, record in self.manifest.files.items():
            file = self.path / name
            if (
                not file.is_file()
                or file.stat().st_size != record.num_bytes
                or (verify and sha256(file) != record.sha256)
            ):
                raise DatasetError(f"{file} must agree with the manifest; it is missing or damaged. {_AGAIN}")

    @cached_property
    def items(self) -> Items:
        """The catalogue's rows."""
        path, about = self.path / ITEMS_NAME, self.manifest
        with reading(path, DatasetError, _AGAIN):
            return Items.read(path, categories=about.categories, num_items=about.num_items)

    @cached_property
    def images(self) -> ItemImages:
        """The catalogue's images."""
        about = self.manifest
        with reading(self.path / IMAGES_NAME, DatasetError, _AGAIN):
            images = ItemImages(self.path, image_size=about.image_size, fit=about.fit)
            shape, decoded = (about.num_items, *about.image_size, 3), images.decoded
            if len(images) != about.num_items or (decoded is not None and decoded.shape != shape):
                raise ValueError(f"there must be {about.num_items} images of {about.image_size}")
        return images

    @cached_property
    def user_ids(self) -> list[str]:
        """The source's user ids; user n is the n-th."""
        path = self.path / USERS_NAME
        with reading(path, DatasetError, _AGAIN):
            return read_user_ids(path, num_users=self.manifest.num_users)

    @cached_property
    def interactions(self) -> Interactions:
        """Every action, with its part of the split."""
        path, num_actions = self.path / INTERACTIONS_NAME, self.manifest.num_interactions
        num_users, num_items = len(self.user_ids), len(self.items)  # not only declared
        with reading(path, DatasetError, _AGAIN):
            found = Interactions.read(path, num_users=num_users, num_items=num_items)
            if len(found) != num_actions:
                raise ValueError(f"it must have {num_actions} actions, and has {len(found)}")
        return found

    def user_indices(self, user_ids: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32 [N]: rows of the given users.

        Raises:
            UnknownIdError: if one has no action in the dataset.
        """
        return _rows("user", user_ids, {user_id: row for row, user_id in enumerate(self.user_ids)})


def read_user_ids(path: Path, *, num_users: int) -> list[str]:
    """The user ids of a dataset or a run; `OSError` or `ValueError` if the table is damaged or another."""
    user_ids = read_parquet(path, {"user_id": pl.String}, rows=num_users)["user_id"]
    if user_ids.n_unique() < num_users:
        raise ValueError("its ids must be distinct")
    return user_ids.to_list()


def _rows(kind: str, names: Sequence[str], index: Mapping[str, int]) -> npt.NDArray[np.int32]:
    for name in names:
        if name not in index:
            raise unknown_id(kind, name, index)
    return np.array([index[name] for name in names], dtype=np.int32)
