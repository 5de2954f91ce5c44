"""From sources to prepared datasets."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from tfdvbpr.api.opening import opened_dataset
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers import IMPORTERS
from tfdvbpr.data.importers.fashion_mnist import DEBIAN_FOLDER, FashionMnistOptions, read_fashion_mnist
from tfdvbpr.data.interactions import COLD_THRESHOLD
from tfdvbpr.data.preparation.description import Description, describe_dataset
from tfdvbpr.data.preparation.packing import Progress
from tfdvbpr.data.preparation.prepare import PrepareOptions
from tfdvbpr.data.preparation.prepare import prepare as prepare_source
from tfdvbpr.data.synthetic.source import SyntheticOptions, write_synthetic
from tfdvbpr.errors import ConfigError
from tfdvbpr.files import IfExists, check_output, whole_directory


def prepare(
    source: Path | str,
    output: Path | str,
    *,
    source_format: str = "folder",
    options: PrepareOptions | None = None,
    if_exists: IfExists = "error",
    progress: Progress | None = None,
) -> PreparedDataset:
    """Imports a source into a prepared dataset; see `tfdvbpr prepare --help`.

    Args:
        source: what the importer reads.
        output: the dataset folder to make.
        source_format: a name in IMPORTERS.
        options: picture size, fit, split.
        if_exists: "error", or "overwrite" to replace a folder that is already there.
        progress: called with (pictures read, pictures in all).

    Raises:
        ConfigError: if there is no such importer.
        SourceError: if the source cannot be imported at all.
        OutputExistsError: if `output` holds something already.
    """
    if source_format not in IMPORTERS:
        known = ", ".join([*IMPORTERS, "synthetic"])
        raise ConfigError(f"`format` must be one of {known}. Received {source_format!r}.")
    check_output(Path(output), if_exists=if_exists)
    return prepare_source(
        IMPORTERS[source_format](Path(source)),
        Path(output),
        options=options or PrepareOptions(),
        source_format=source_format,
        if_exists=if_exists,
        progress=progress,
    )


def prepare_synthetic(
    output: Path | str,
    *,
    synthetic: SyntheticOptions | None = None,
    options: PrepareOptions | None = None,
    if_exists: IfExists = "error",
    progress: Progress | None = None,
    keep_source: Path | str | None = None,
) -> PreparedDataset:
    """Renders garments, simulates shoppers and prepares them like any folder.

    Args:
        output: the dataset folder to make.
        synthetic: how many items and users, and the seed.
        options: picture size, fit, split.
        if_exists: "error", or "overwrite" to replace a folder that is already there.
        progress: called with (pictures drawn, pictures in all).
        keep_source: a new or empty folder in which to keep the source, with the truth about the shoppers' tastes.

    Raises:
        OutputExistsError: if `output` or `keep_source` holds something already.
    """
    options = options or PrepareOptions()
    synthetic = synthetic or SyntheticOptions(image_size=max(options.image_size), seed=options.seed)
    check_output(Path(output), if_exists=if_exists)
    with TemporaryDirectory() as scratch:
        if keep_source is not None:
            check_output(Path(keep_source))
        source = Path(keep_source) if keep_source is not None else Path(scratch) / "synthetic"
        write_synthetic(source, synthetic, progress=progress)
        return prepare_source(
            IMPORTERS["folder"](source),
            Path(output),
            options=options,
            source_format="synthetic",
            if_exists=if_exists,
        )


def prepare_fashion_mnist(
    output: Path | str,
    *,
    source: Path | str | None = None,
    fashion_mnist: FashionMnistOptions | None = None,
    options: PrepareOptions | None = None,
    if_exists: IfExists = "error",
    progress: Progress | None = None,
) -> PreparedDataset:
    """Prepares Fashion-MNIST with simulated shoppers.

    Args:
        output: the dataset folder to make.
        source: a folder with the four IDX files; left out, Debian's, or else what Keras fetches.
        fashion_mnist: how many photos and shoppers, and the seed.
        options: picture size, fit, split.
        if_exists: "error", or "overwrite" to replace a folder that is already there.
        progress: called with (pictures read, pictures in all).

    Raises:
        SourceError: if the files are missing or damaged.
        OutputExistsError: if `output` holds something already.
    """
    options = options or PrepareOptions()
    check_output(Path(output), if_exists=if_exists)
    return prepare_source(
        read_fashion_mnist(
            DEBIAN_FOLDER if source is None else Path(source), fashion_mnist or FashionMnistOptions(seed=options.seed)
        ),
        Path(output),
        options=options,
        source_format="fashion-mnist",
        if_exists=if_exists,
        progress=progress,
    )


def describe(
    dataset: PreparedDataset | Path | str,
    *,
    output: Path | str | None = None,
    cold_threshold: int = COLD_THRESHOLD,
    seed: int = 0,
    if_exists: IfExists = "error",
) -> Description:
    """Counts what a dataset holds and, with `output`, draws its long tail and a contact sheet.

    Args:
        dataset: a prepared dataset or its folder.
        output: a folder to make, with long_tail.png, contact_sheet.png and description.json; left out, nothing is
            written.
        cold_threshold: an item with fewer training actions is cold.
        seed: which items the contact sheet shows.
        if_exists: "error", or "overwrite" to replace a folder that is already there.

    Raises:
        DatasetError: if `dataset` is no prepared dataset.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.data.preparation import description as pictures

    opened = opened_dataset(dataset)
    told = describe_dataset(opened, cold_threshold=cold_threshold)
    if output is not None:
        with whole_directory(Path(output), if_exists=if_exists) as folder:
            pictures.draw_long_tail(
                opened.interactions, folder / pictures.LONG_TAIL_NAME, cold_threshold=cold_threshold
            )
            pictures.draw_contact_sheet(opened, folder / pictures.CONTACT_SHEET_NAME, seed=seed)
            text = json.dumps(told.as_dict(), indent=2, ensure_ascii=False)
            (folder / "description.json").write_text(text + "\n", encoding="utf-8")
    return told
