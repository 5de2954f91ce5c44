"""New items in a trained run: embedded by the trained networks and ranked; nothing is trained.

θ, the weights and everything of the old items stay bit for bit. A new item has its visual embedding alone: γ and β,
where a model has them, are 0, the initial value of an item that was never trained.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr._version import __version__
from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.data.images.storage import ItemImages
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation.extend import extend
from tfdvbpr.errors import RunError
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.models.recommenders.closed_form import centred
from tfdvbpr.models.recommenders.factors import Array, Factors
from tfdvbpr.models.weights import save_weights
from tfdvbpr.run import folder as files
from tfdvbpr.run.recommender_run import Run

DATASET_NAME = "dataset"
_BATCH = 256


def update_items(
    run: Run,
    new_items: Path,
    output: Path,
    *,
    columns: Mapping[Any, Collection[str]] | None = None,
    dataset: Path | str | None = None,
    if_exists: IfExists = "error",
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Writes a run with a larger catalogue, and within it the larger dataset; the folder appears whole or not at all.

    What was left out is listed in the new dataset's quarantine.csv. Arguments and errors are those of
    `tfdvbpr.update_items`.
    """
    _check_model(run)
    run.check_is_no_ensemble("Add the items to each member, and combine them again")
    check_output(output, if_exists=if_exists)
    source = read_folder(new_items, with_interactions=False, columns=columns)
    old = run.open_dataset(dataset)
    with whole_directory(output, if_exists=if_exists) as folder:
        larger = extend(old, source, folder / DATASET_NAME, beside=output, progress=progress)
        manifest = _manifest(run.manifest, larger, output / DATASET_NAME)
        (folder / files.MANIFEST_NAME).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
        for name in (files.CONFIG_NAME, files.HISTORY_NAME, files.USERS_NAME, files.INTERACTIONS_NAME):
            shutil.copyfile(run.path / name, folder / name)
        larger.items.table.write_parquet(folder / files.ITEMS_NAME)
        _extended_factors(run, manifest, larger.images, folder).write(folder / files.FACTORS_NAME)
    return Run.open(output)


def _check_model(run: Run) -> None:
    model = run.manifest.model
    if not run.model_class.embeds_new_items:
        raise RunError(
            f"RUN must be of a model that embeds items by their images. {run.path} is a {model} run, which cannot "
            "embed new items. Train again with the new items, or use a dvbpr run."
        )


def _manifest(about: files.RunManifest, larger: PreparedDataset, path: Path) -> files.RunManifest:
    changed = {
        "library_version": __version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "dataset_path": str(path.resolve()),
        "dataset_fingerprint": larger.manifest.fingerprint,
        "categories": larger.manifest.categories,
        "num_items": larger.manifest.num_items,
    }
    return about.model_copy(update=changed)


def _extended_factors(run: Run, manifest: files.RunManifest, images: ItemImages, folder: Path) -> Factors:
    """The factors with the new items below the old; writes the weights with the new items' rows into `folder`."""
    old = run.factors
    rows = np.arange(run.manifest.num_items, manifest.num_items, dtype=np.int32)
    kind = run.model_class
    features = _features(run, images, rows) if kind.uses_features else np.zeros((0, 0), np.float32)
    if kind.has_weights:
        model = _larger_model(run, manifest)
        if kind.uses_features:
            model.features.assign(np.concatenate([run.recommender.features.numpy(), features]))
        save_weights(model, folder / files.WEIGHTS_NAME)
        items, biases = _embed(model, images, rows, old)
    else:
        items, biases = kind.embed_new_features(features, old)
    return old.extended(items, biases)


def _larger_model(run: Run, manifest: files.RunManifest) -> Any:
    """The run's model with more items; weights with a row per item are 0 in the new rows."""
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
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        pixels = to_float(images.read(part)) if model.uses_images else None
        parts.append(model.embed_new_items(part, pixels, factors))
    items, biases = zip(*parts, strict=True)
    return np.concatenate(items), np.concatenate(biases)


def _features(run: Run, images: ItemImages, rows: npt.NDArray[np.int32]) -> Array:
    """float32 [N, F]: off-the-shelf features of the new items, centred on the mean of the run's training catalogue."""
    extract, mean = FEATURE_EXTRACTORS[run.config.features], run.factors.feature_mean
    assert mean is not None
    return centred(map_chunks(lambda part: extract(images.read(part)), rows, chunk_rows=_BATCH), mean)
