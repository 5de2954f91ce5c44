"""New items in a trained run: embedded by the networks as they are, and ranked from then on. Nothing is trained.

θ, the weights and everything of the old items stay bit for bit. A new item has its looks alone: γ and β, where a model
has them, are 0, which is what an item that was never trained begins with.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr._version import __version__
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import MAX_PIXELS, to_float
from tfdvbpr.data.images.storage import ItemImages
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation.extend import extend
from tfdvbpr.errors import RunError
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.models.recommenders.factors import Array, Factors
from tfdvbpr.models.recommenders.visrank import centred
from tfdvbpr.run import (
    CONFIG_NAME,
    FACTORS_NAME,
    HISTORY_NAME,
    INTERACTIONS_NAME,
    ITEMS_NAME,
    MANIFEST_NAME,
    USERS_NAME,
    WEIGHTS_NAME,
    Run,
    RunManifest,
)

DATASET_NAME = "dataset"
_BATCH = 256


def update_items(
    run: Run,
    new_items: Path,
    output: Path,
    *,
    output_dataset: Path | None = None,
    dataset: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    if_exists: IfExists = "error",
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Writes a run with a larger catalogue, and the dataset that belongs to it.

    Args:
        run: of a model that knows an item by its picture.
        new_items: a folder with items.csv or .parquet and pictures, as `tfdvbpr prepare` takes them; no interactions.
        output: the run folder to make; it appears whole or not at all.
        output_dataset: where the larger dataset goes; left out, into `output`.
        dataset: where the run's dataset lies now, if it has been moved.
        max_pixels: larger pictures are quarantined without being decoded.
        if_exists: "error", or "overwrite" to replace what is already there.
        progress: called with (pictures read, pictures in all).

    Returns:
        The new run. What was left out stands in the new dataset's quarantine.csv.

    Raises:
        RunError: if the model cannot know an item by its picture.
        DatasetError: if the run's dataset is gone or another.
        SourceError: if no new item can be used.
        OutputExistsError: if `output` or `output_dataset` holds something already.
    """
    _check_model(run)
    for folder in filter(None, (output, output_dataset)):
        check_output(folder, if_exists=if_exists)
    source = read_folder(new_items, with_interactions=False)
    old = run.open_dataset(dataset)
    with whole_directory(output, if_exists=if_exists) as folder:
        larger = extend(
            old,
            source,
            folder / DATASET_NAME if output_dataset is None else output_dataset,
            max_pixels=max_pixels,
            if_exists=if_exists,
            progress=progress,
        )
        manifest = _manifest(run.manifest, larger, output_dataset or output / DATASET_NAME)
        (folder / MANIFEST_NAME).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
        for name in (CONFIG_NAME, HISTORY_NAME, USERS_NAME, INTERACTIONS_NAME):
            shutil.copyfile(run.path / name, folder / name)
        larger.items.table.write_parquet(folder / ITEMS_NAME)
        _extended_factors(run, manifest, larger.images, folder).write(folder / FACTORS_NAME)
    return Run.open(output)


def _check_model(run: Run) -> None:
    model = run.manifest.model
    if not run.model_class.embeds_new_items:
        raise RunError(
            f"RUN must be of a model that knows an item by its picture. {run.path} is a {model} run, to which a new "
            "item is a number like any other. Train again with the new items, or use a dvbpr run."
        )
    if run.model_class.centres_items:
        _centre(run)


def _centre(run: Run) -> Array:
    """float32 [F]: what the run's features were centred on."""
    mean = run.factors.feature_mean
    if mean is None:
        raise RunError(
            f"{run.path} must hold the mean that its features were centred on. It was made by an older version. "
            "Train again."
        )
    return mean


def _manifest(about: RunManifest, larger: PreparedDataset, path: Path) -> RunManifest:
    changed = {
        "library_version": __version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "dataset_path": str(path.resolve()),
        "dataset_fingerprint": larger.manifest.fingerprint,
        "categories": larger.manifest.categories,
        "num_items": larger.manifest.num_items,
    }
    return about.model_copy(update=changed)


def _extended_factors(run: Run, manifest: RunManifest, images: ItemImages, folder: Path) -> Factors:
    """The factors with the new items below the old; weights with a row an item are written into `folder` with them."""
    old = run.factors
    rows = np.arange(run.manifest.num_items, manifest.num_items, dtype=np.int32)
    kind = run.model_class
    features = _features(run, images, rows) if kind.uses_features else np.zeros((0, 0), np.float32)
    if kind.has_weights:
        model = _larger_model(run, manifest)
        if kind.uses_features:
            model.features.assign(np.concatenate([run.recommender.features.numpy(), features]))
        model.save_weights(folder / WEIGHTS_NAME)
        items, biases = _embed(model, images, rows, old)
    else:
        items, biases = kind.embed_new_features(features)
    return Factors(
        old.user_embeddings,
        np.concatenate([old.item_embeddings, items]),
        np.concatenate([old.item_biases, biases]),
        old.feature_mean,
    )


def _larger_model(run: Run, manifest: RunManifest) -> Any:
    """The run's model with more items; what has a row an item is 0 in the new ones."""
    old, new = run.recommender, run.model_class.for_dataset(run.config, manifest, pretrained=False)
    for before, after in zip(old.variables, new.variables, strict=True):
        values = before.numpy()
        if before.shape != after.shape:
            added = np.zeros((after.shape[0] - before.shape[0], *after.shape[1:]), values.dtype)
            values = np.concatenate([values, added])
        after.assign(values)
    return new


def _embed(model: Any, images: ItemImages, rows: npt.NDArray[np.int32], factors: Factors) -> tuple[Array, Array]:
    parts = []
    for part in _blocks(rows):
        pixels = to_float(images.read(part)) if model.uses_images else None
        parts.append(model.embed_new_items(part, pixels, factors))
    items, biases = zip(*parts, strict=True)
    return np.concatenate(items), np.concatenate(biases)


def _features(run: Run, images: ItemImages, rows: npt.NDArray[np.int32]) -> Array:
    """float32 [N, F]: off-the-shelf features of the new items, centred on those of the run's own catalogue."""
    extract = FEATURE_EXTRACTORS[run.config.features]
    return centred(np.concatenate([extract(images.read(part)) for part in _blocks(rows)]), _centre(run))


def _blocks(rows: npt.NDArray[np.int32]) -> Iterator[npt.NDArray[np.int32]]:
    return (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))
