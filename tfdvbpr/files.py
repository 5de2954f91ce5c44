"""Files and folders that appear whole or not at all: written beside, then renamed."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from tfdvbpr.errors import DiskFullError, OutputExistsError, TfdvbprError
from tfdvbpr.text import CSV_UNSAFE, csv_cell, one_line, shortened

if TYPE_CHECKING:
    import polars as pl

IfExists = Literal["error", "overwrite"]

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # NumPy has no other words for it


@contextmanager
def whole_directory(output: Path, *, if_exists: IfExists = "error") -> Iterator[Path]:
    """Yields a scratch folder beside `output` that becomes `output` when the block ends without an error.

    One process at a time writes an output. What a killed one left beside it is removed first.

    Args:
        output: the folder to make. Its parents are made too.
        if_exists: "error", or "overwrite" to replace a folder that is already there; the old one
            stays until the new one is whole.

    Raises:
        OutputExistsError: if `output` holds something and `if_exists` is "error", or another process writes it.
        DiskFullError: if there is no room to write.
    """
    output = Path(output)
    with _room_at(output.parent):
        output.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(output):
            _sweep(output)
            check_output(output, if_exists=if_exists)
            scratch = Path(tempfile.mkdtemp(prefix=_prefixes(output)[0], dir=output.parent))
            try:
                yield scratch
                scratch.chmod(0o755)
                if output.exists():
                    old = Path(tempfile.mkdtemp(prefix=_prefixes(output)[1], dir=output.parent))
                    output.rename(old / output.name)
                    scratch.rename(output)
                    old.rename(scratch)  # a name from which nothing is put back, should this end before all is removed
                    shutil.rmtree(scratch)
                else:
                    scratch.rename(output)
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise


@contextmanager
def _room_at(folder: Path) -> Iterator[None]:
    """What fails within the block for lack of room is a `DiskFullError`."""
    try:
        yield
    except Exception as error:
        if not is_disk_full(error) or isinstance(error, DiskFullError):
            raise
        raise DiskFullError(
            f"There must be room to write at {folder}. The disk is full ({one_line(str(error))[:200]}). "
            "Make room and repeat the command."
        ) from error


def is_disk_full(error: BaseException) -> bool:
    """Whether a write failed for lack of room; libraries in other languages say so in the system's words alone."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return True
    words = [os.strerror(number) for number in _DISK_FULL]
    return isinstance(error, Exception) and (
        any(text in str(error) for text in words) or _SHORT_WRITE.search(str(error)) is not None
    )


@contextmanager
def only_writer(output: Path) -> Iterator[None]:
    """Holds the lock of an output, a file beside it, within the block; the system frees it when a process is killed.

    Raises:
        OutputExistsError: if another process, or another block of this one, has it.
    """
    file, path = _locked(output)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _locked(output: Path) -> tuple[IO[str], Path]:
    path = output.parent / f".{output.name}.lock"
    while True:
        file = path.open("a")
        if not try_lock(file):
            file.close()
            raise OutputExistsError(
                f"One process may write {output} at a time. Another one does. Wait for it, or end it."
            )
        # The process before may have removed the file, and a third one made it anew.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file, path
        file.close()


def try_lock(file: IO[str]) -> bool:
    """Whether this process has the lock of an open file now, until it is closed; a disk without locks grants it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def sweep_scratch(output: Path) -> None:
    """Removes what killed processes left beside an output, unless one is writing it."""
    with suppress(OutputExistsError), only_writer(output):
        _sweep(output)


def remove_whole(output: Path) -> None:
    """Removes a folder that a program may be reading by its name: it vanishes at once."""
    with only_writer(output):
        scratch = Path(tempfile.mkdtemp(prefix=_prefixes(output)[0], dir=output.parent))
        output.rename(scratch / output.name)
        shutil.rmtree(scratch, ignore_errors=True)


def _prefixes(output: Path) -> tuple[str, str]:
    """Of what is being made or removed, and of folders that are replaced."""
    return f".{output.name}.scratch-", f".{output.name}.old-"


def _sweep(output: Path) -> None:
    for path in output.parent.iterdir():
        if path.name.startswith(_prefixes(output)) and path.is_dir():
            replaced = path.name.startswith(_prefixes(output)[1]) and (path / output.name).is_dir()
            if replaced and not output.exists():  # killed between the two renames
                (path / output.name).rename(output)
            shutil.rmtree(path, ignore_errors=True)


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
    """Yields a scratch path beside `path` that takes its name when the block ends without an error.

    Several processes may write a file at a time; the last one's stays. What killed ones left is removed first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep_files(path)
    with _scratch_file(path) as scratch:
        try:
            yield scratch
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def _scratch_file(path: Path) -> Iterator[Path]:
    """A new empty file beside `path`, of the same ending, whose lock is held within the block."""
    while True:
        scratch = path.with_name(f"{_prefixes(path)[0]}{secrets.token_hex(4)}{path.suffix}")
        with scratch.open("x") as file:
            # Another process may have swept the file before it was locked.
            if try_lock(file) and scratch.exists():
                yield scratch
                return


def _sweep_files(path: Path) -> None:
    """Removes scratch files that no process has the lock of, where the disk has locks."""
    for scratch in path.parent.iterdir():
        if scratch.name.startswith(_prefixes(path)[0]) and scratch.is_file():
            with suppress(OSError), scratch.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                scratch.unlink()


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


@contextmanager
def reading(path: Path, error: type[TfdvbprError], advice: str) -> Iterator[None]:
    """Whatever a damaged file makes fail within the block becomes one error with a sentence.

    Args:
        path: what is read.
        error: the kind to raise.
        advice: what to do, a sentence.

    Example:
        >>> with reading(Path("run/items.parquet"), RunError, "Train again."):
        ...     raise KeyError("item_id")  # RunError: run/items.parquet must be whole, as it was written. It cannot ...
    """
    try:
        yield
    except TfdvbprError:
        raise
    except Exception as found:
        reason = "it is not there" if isinstance(found, FileNotFoundError) else f"{type(found).__name__} {found}"
        raise error(
            f"{path} must be whole, as it was written. It cannot be read: {shortened(one_line(reason), 300)}. {advice}"
        ) from None


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
