"""From sources to prepared datasets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tfdvbpr.config.base import resolve_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers import IMPORTERS
from tfdvbpr.data.importers.remote import is_address
from tfdvbpr.data.preparation.description import Description, describe_dataset
from tfdvbpr.data.preparation.health import HealthReport
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.data.preparation.packing import Progress
from tfdvbpr.data.preparation.prepare import check_source as check_health_of
from tfdvbpr.data.preparation.prepare import prepare as prepare_source
from tfdvbpr.data.preparation.source import Importer
from tfdvbpr.errors import ConfigError, check_choice
from tfdvbpr.files import IfExists, check_output, whole_directory


def opened_dataset(dataset: PreparedDataset | Path | str) -> PreparedDataset:
    """The dataset, opened if it is a folder."""
    return dataset if isinstance(dataset, PreparedDataset) else PreparedDataset.open(dataset)


def prepare(
    source: Path | str | None,
    output: Path | str,
    *,
    source_format: str = "folder",
    importer_options: Mapping[str, Any] | None = None,
    options: PrepareOptions | None = None,
    if_exists: IfExists = "error",
    progress: Progress | None = None,
    on_health: Callable[[HealthReport], None] | None = None,
) -> PreparedDataset:
    """Imports a source into a prepared dataset; see `tfdvbpr prepare --help`.

    Args:
        source: what the importer reads, for "folder" also an address such as s3://bucket/shop; None where it needs
            nothing, as "synthetic" does.
        output: the dataset folder to make.
        source_format: a name in IMPORTERS.
        importer_options: fields of the importer by name, such as {"num_items": 300}; its `seed` and `image_size`, if it
            has such, are those of `options` where they are left out.
        options: image size, fit, split.
        if_exists: "error", or "overwrite" to replace a folder that is already there.
        progress: called with (images read, images in all).
        on_health: called with the health report, also where the source is then refused.

    Raises:
        ConfigError: if there is no such importer or option, or `source` is missing or superfluous.
        SourceError: if the source cannot be imported at all, or a health check found an error that is not allowed.
        OutputExistsError: if `output` holds something already.
    """
    options = options or PrepareOptions()
    importer = _importer(source, source_format, importer_options or {}, options)
    check_output(Path(output), if_exists=if_exists)
    return prepare_source(
        importer.read(_place(source)),
        Path(output),
        options=options,
        source_format=source_format,
        if_exists=if_exists,
        progress=progress,
        on_health=on_health,
    )


def check_source(
    source: Path | str | None,
    *,
    source_format: str = "folder",
    importer_options: Mapping[str, Any] | None = None,
    options: PrepareOptions | None = None,
    progress: Progress | None = None,
) -> HealthReport:
    """Runs the health checks of a source, and writes nothing; `tfdvbpr prepare --check`.

    Arguments are those of `prepare`.

    Raises:
        ConfigError: if there is no such importer or option, or `source` is missing or superfluous.
        SourceError: if the source cannot be imported at all.

    Example:
        >>> report = check_source("shop")
        >>> [finding.title for finding in report.findings if finding.severity == "error"]
    """
    options = options or PrepareOptions()
    importer = _importer(source, source_format, importer_options or {}, options)
    read = importer.read(_place(source))
    return check_health_of(read, options=options, progress=progress)


def _place(source: Path | str | None) -> Path | str | None:
    """A path, or an address as it is."""
    return source if source is None or is_address(source) else Path(source)


def _importer(
    source: Path | str | None, source_format: str, importer_options: Mapping[str, Any], options: PrepareOptions
) -> Importer:
    check_choice("format", source_format, IMPORTERS)
    kind = IMPORTERS[source_format]
    if source is None and kind.needs_source == "yes":
        raise ConfigError(f"--format {source_format} needs a SOURCE: tfdvbpr prepare SOURCE --output ...")
    if source is not None and kind.needs_source == "no":
        raise ConfigError(f"--format {source_format} takes no SOURCE. Received {source}. Leave it out.")
    if is_address(source) and not kind.reads_addresses:
        raise ConfigError(
            f"--format {source_format} takes a folder of this machine. Received {source}. Fetch it first."
        )
    shared = {"seed": options.seed, "image_size": max(options.image_size)}
    defaults = {name: value for name, value in shared.items() if name in kind.model_fields}
    return resolve_config(kind, defaults={**defaults, **importer_options})


def describe(
    dataset: PreparedDataset | Path | str,
    *,
    output: Path | str | None = None,
    captions: Sequence[str] | None = None,
    if_exists: IfExists = "error",
) -> Description:
    """Counts what a dataset holds and, with `output`, plots its long tail and a grid of sample images.

    Args:
        dataset: a prepared dataset or its folder.
        output: a folder to make, with long_tail.png, sample_grid.png and description.json; left out, nothing is
            written.
        captions: columns of the items below each photo of the grid, beside its id; left out, title and price where
            there are columns of such names.
        if_exists: "error", or "overwrite" to replace a folder that is already there.

    Raises:
        DatasetError: if `dataset` is no prepared dataset.
        ConfigError: if one of `captions` is no column.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.data.preparation import description as files

    opened = opened_dataset(dataset)
    description = describe_dataset(opened)
    if output is not None:
        with whole_directory(Path(output), if_exists=if_exists) as folder:
            files.write_long_tail(opened.interactions, folder / files.LONG_TAIL_NAME)
            files.write_sample_grid(opened, folder / files.SAMPLE_GRID_NAME, captions=captions)
            text = json.dumps(asdict(description), indent=2, ensure_ascii=False)
            (folder / "description.json").write_text(text + "\n", encoding="utf-8")
    return description
