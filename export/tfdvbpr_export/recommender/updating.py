"""New items in a served recommender, without training. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfdvbpr.run import Run
from tfdvbpr.run.new_items import update_items
from tfdvbpr_export.options import RecommenderOptions, ScannOptions
from tfdvbpr_export.recommender.heads import export_recommender
from tfdvbpr_export.saving import read_manifest
from tfdvbpr_export.versions import Version, version_folder, versions


def update_served_items(
    run_path: Path | str,
    new_items: Path | str,
    new_run: Path | str,
    output: Path | str,
    *,
    dataset: Path | str | None = None,
    options: RecommenderOptions | None = None,
    version: Version = "auto",
    keep: int | None = None,
) -> Path:
    """Embeds new items with the networks as they are, and exports the larger catalogue as the next version.

    Args:
        run_path: a run of a model that knows an item by its picture.
        new_items: a folder with items.csv and pictures, as `tfdvbpr update-items` takes it.
        new_run: the run folder to make, from which the next update starts.
        output: the model's base path.
        dataset: where the run's dataset lies now, if it has been moved.
        options: index, bits, limits; left out, those of the newest version there.
        version: as of `export_recommender`.
        keep: as of `export_recommender`.

    Returns:
        The version folder.

    Raises:
        RunError: if the model cannot know an item by its picture.
        DatasetError: if the run's dataset is gone or another.
        SourceError: if no new item can be used.
        OutputExistsError: if `new_run` or the version is there already.
        ConfigError: if an option is out of range.
    """
    version_folder(Path(output), version, keep=keep)  # refuses before any work
    if options is None:
        options = options_of_newest(Path(output))
    update_items(Run.open(run_path), Path(new_items), Path(new_run), dataset=Path(dataset) if dataset else None)
    return export_recommender(new_run, output, options=options, version=version, keep=keep)


def options_of_newest(base_path: Path) -> RecommenderOptions:
    """The options of the newest version below a base path; the defaults where there is none."""
    if not versions(base_path):
        return RecommenderOptions()
    told: Mapping[str, Any] = read_manifest(base_path).get("options", {})
    return RecommenderOptions(**{**told, "scann": ScannOptions(**told.get("scann", {}))})
