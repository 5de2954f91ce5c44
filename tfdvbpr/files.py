"""Files and folders that appear whole or not at all: written beside, then renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfdvbpr.errors import OutputExistsError
from tfdvbpr.text import CSV_UNSAFE, csv_cell

if TYPE_CHECKING:
    import polars as pl

IfExists = Literal["error", "overwrite"]


@contextmanager
def whole_directory(output: Path, *, if_exists: IfExists = "error") -> Iterator[Path]:
    """Yields a scratch folder beside `output` that becomes `output` when the block ends without an error.

    Args:
        output: the folder to make. Its parents are made too.
        if_exists: "error", or "overwrite" to replace a folder that is already there; the old one
            stays until the new one is whole.

    Raises:
        OutputExistsError: if `output` holds something and `if_exists` is "error".
    """
    output = Path(output)
    check_output(output, if_exists=if_exists)
    output.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        if output.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{output.name}-old-", dir=output.parent))
            output.rename(old / output.name)
            scratch.rename(output)
            shutil.rmtree(old)
        else:
            scratch.rename(output)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def check_output(output: Path, *, if_exists: IfExists = "error") -> None:
    """Refuses an output folder that already holds something, before any work is done.

    Raises:
        OutputExistsError: if `output` holds something and `if_exists` is "error", or is a file.
    """
    if output.is_file():
        raise OutputExistsError(f"`output` must be a folder. Received the file {output}. Give another path.")
    if if_exists == "error" and output.is_dir() and any(output.iterdir()):
        raise OutputExistsError(
            f"`output` must be a new or empty folder. {output} holds files already. "
            "Give another path, or pass --if-exists overwrite to replace it."
        )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a scratch path beside `path` that takes its name when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield scratch
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file whole."""
    with whole_file(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def write_csv(table: pl.DataFrame, path: Path) -> None:
    """Writes a CSV file whole, each text as `tfdvbpr.text.csv_cell` has it."""
    import polars as pl

    for column in table:
        if column.dtype == pl.String and column.str.contains(CSV_UNSAFE).any():
            table = table.with_columns(column.map_elements(csv_cell, return_dtype=pl.String))
    with whole_file(path) as scratch:
        table.write_csv(scratch)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
