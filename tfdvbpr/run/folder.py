"""Files and manifest of a run folder, and the dataset a run was trained on."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tfdvbpr._version import __version__
from tfdvbpr.config import Config, GanConfig, RecommenderConfig, dump_yaml, resolve_config
from tfdvbpr.config.yaml_text import load_yaml
from tfdvbpr.data import ImageFit, ImageSide
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError, DatasetError, RunError
from tfdvbpr.files import reading
from tfdvbpr.text import shortened

if TYPE_CHECKING:
    from typing_extensions import Self

FORMAT_VERSION = 2
MANIFEST_NAME = "manifest.json"
CONFIG_NAME = "config.yaml"
METRICS_NAME = "metrics.json"
HISTORY_NAME = "history.csv"
FACTORS_NAME = "factors.npz"
WEIGHTS_NAME = "model.weights.h5"
GENERATOR_NAME = "generator.weights.h5"
DISCRIMINATOR_NAME = "discriminator.weights.h5"
UPSCALER_NAME = "upscaler.weights.h5"
USERS_NAME = "users.parquet"
ITEMS_NAME = "items.parquet"
INTERACTIONS_NAME = "interactions.parquet"
MEMBERS_NAME = "members"

RunKind = Literal["recommender", "gan"]


class RunManifest(BaseModel):
    """The manifest of a run (`manifest.json`)."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())
    format_version: int
    kind: RunKind
    model: str
    library_version: str
    created: str
    dataset: str
    dataset_path: str
    dataset_fingerprint: str
    image_size: tuple[ImageSide, ImageSide]
    fit: ImageFit
    categories: tuple[str, ...] = Field(min_length=1)
    num_users: int = Field(ge=0)
    num_items: int = Field(ge=1)
    training_seconds: float
    upscaled_size: tuple[ImageSide, ImageSide] | None = None


def new_manifest(dataset: PreparedDataset, *, kind: RunKind, model: str, training_seconds: float) -> RunManifest:
    """The manifest of a run on a dataset, stamped with the time and the library's version."""
    about = dataset.manifest
    return RunManifest(
        format_version=FORMAT_VERSION,
        kind=kind,
        model=model,
        library_version=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        dataset=about.name,
        dataset_path=str(dataset.path.resolve()),
        dataset_fingerprint=about.fingerprint,
        image_size=about.image_size,
        fit=about.fit,
        categories=about.categories,
        num_users=about.num_users,
        num_items=about.num_items,
        training_seconds=round(training_seconds, 1),
    )


class RunFolder:
    """Base class of `Run` and `GanRun`: the folder, its manifest, and the dataset it was trained on."""

    kind: RunKind

    def __init__(self, path: Path, manifest: RunManifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Opens a folder made by `tfdvbpr train`, or for a `GanRun` by `tfdvbpr train-gan`.

        Raises:
            RunError: if it is not one, is of another version, or is a run of the other kind.
        """
        return cls(Path(path), cls._open_manifest(Path(path)))

    @classmethod
    def _open_manifest(cls, path: Path) -> RunManifest:
        command = "train" if cls.kind == "recommender" else "train-gan"
        try:
            values = json.loads((path / MANIFEST_NAME).read_bytes())
            format_version, library_version = values["format_version"], values["library_version"]
        except FileNotFoundError:
            raise RunError(
                f"RUN must be a folder made by `tfdvbpr {command}`. {path} has no {MANIFEST_NAME}. "
                f"Run `tfdvbpr {command} DATASET --output {path}` first."
            ) from None
        except (ValueError, TypeError, KeyError, OSError) as error:
            reason = shortened(f"{type(error).__name__} {error}", 200)
            raise RunError(f"{path / MANIFEST_NAME} cannot be read as a run ({reason}). Train again.") from None
        if format_version != FORMAT_VERSION:
            raise RunError(
                f"RUN must be of format {FORMAT_VERSION}, which tfdvbpr {__version__} reads. {path} is of format "
                f"{shortened(str(format_version), 40)}, written by tfdvbpr {shortened(str(library_version), 40)}. "
                "Train again, or use that version."
            )
        try:
            manifest = RunManifest.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            wrong = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise RunError(f"{path / MANIFEST_NAME} cannot be read as a run ({wrong}). Train again.") from None
        if manifest.kind != cls.kind:
            raise RunError(f"{path} must be a {cls.kind} run. It is a {manifest.kind} run. Give the other folder.")
        return manifest

    def open_dataset(self, path: Path | str | None = None) -> PreparedDataset:
        """The dataset the run was trained on.

        Args:
            path: where it is now; left out, where it was when the run was trained.

        Raises:
            DatasetError: if it is gone or its contents are not those the run was trained on.
        """
        where = Path(path or self.manifest.dataset_path)
        if path is None and not where.exists():
            raise DatasetError(
                f"{self.path} was trained on the dataset {where}, which must still be there. It is gone. "
                "Give its folder with --dataset."
            )
        dataset = PreparedDataset.open(where)
        if dataset.manifest.fingerprint != self.manifest.dataset_fingerprint:
            raise DatasetError(
                f"{self.path} was trained on the dataset {self.manifest.dataset_fingerprint}. "
                f"{dataset.path} is {dataset.manifest.fingerprint}. "
                "Give the right folder with --dataset, or train again."
            )
        return dataset

    def _read_config(self, kind: type[Config], file: Path | None = None) -> Config:
        file = file or self.path / CONFIG_NAME
        with reading(file, RunError, "Train again."):
            values = dict(load_yaml(file.read_text(encoding="utf-8")))
        try:
            return resolve_config(kind, defaults=values)
        except ConfigError as error:
            older = self.manifest.library_version
            raise RunError(
                f"A configuration must fit tfdvbpr {__version__}. {file} was written by tfdvbpr {older}. {error} "
                f"Train again, or use tfdvbpr {older}."
            ) from None


def write_run_header(
    folder: Path, manifest: RunManifest, config: RecommenderConfig | GanConfig, history: pl.DataFrame
) -> None:
    """Writes manifest, configuration and training history into a run folder that is being made."""
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
    (folder / CONFIG_NAME).write_text(dump_yaml(config), encoding="utf-8")
    history.write_csv(folder / HISTORY_NAME)
