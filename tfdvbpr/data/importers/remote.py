"""A source folder behind an address (s3://, gs://, https://, ...), fetched by fsspec into a folder of this machine."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from pathlib import Path, PurePosixPath
from typing import Any

from tfdvbpr.data.preparation.tables import table_names
from tfdvbpr.errors import ConfigError, SourceError

# Of all tables together, and of one image.
MOST_TABLE_BYTES, MOST_IMAGE_BYTES = 64 << 30, 64 << 20
TABLE_SECONDS, IMAGE_SECONDS = 6 * 3600.0, 60.0
_MOST_FILES = 10_000
_PART = 1 << 20
_TABLES = ("items", "interactions")


def is_address(source: object) -> bool:
    """Whether a source is an address, such as s3://bucket/shop, and no path."""
    return "://" in str(source)


class RemoteFolder:
    """A folder behind an address; its files come into a folder of this machine when they are needed.

    Tables are fetched anew each time; an image that is there already is not.

    Args:
        address: such as s3://bucket/shop or https://host/shop.
        cache: the folder to keep files below; left out, $XDG_CACHE_HOME/tfdvbpr or ~/.cache/tfdvbpr.

    Raises:
        ConfigError: if fsspec, or what it needs for this kind of address, is not installed.

    Example:
        >>> folder = RemoteFolder("s3://bucket/shop")
        >>> folder.fetch_tables()
        >>> folder.image_bytes("images/1.jpg")
    """

    def __init__(self, address: str, cache: Path | None = None) -> None:
        self.address = address.rstrip("/")
        try:
            from fsspec.core import url_to_fs

            self._files, self._root = url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"SOURCE {address} must be of a kind that fsspec opens. It does not: {error}. "
                "Try pip install 'tfdvbpr[remote]'."
            ) from None
        if cache is None:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfdvbpr"
        digest = hashlib.sha256(self.address.encode()).hexdigest()[:16]
        self.folder = (cache / digest / (PurePosixPath(self.address).name or "shop")).resolve()

    def fetch_tables(self) -> Path:
        """Fetches the tables, and returns the folder that they are in.

        Raises:
            SourceError: if there are none, one cannot be fetched in time, or they are larger than tables may be.
        """
        wanted = [name for table in _TABLES for name in table_names(table)]
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.iterdir():
            if old.name.casefold() in wanted:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        left, deadline = MOST_TABLE_BYTES, time.monotonic() + TABLE_SECONDS
        for path in self._tables(wanted):
            left -= self._fetch(path, most=left, deadline=deadline)
        return self.folder

    def image_bytes(self, image: str) -> bytes:
        """An image's bytes by its path within the folder; raises OSError."""
        try:
            local = self._local(image)
            if not local.is_file():
                self._fetch(image, most=MOST_IMAGE_BYTES, deadline=time.monotonic() + IMAGE_SECONDS)
        except SourceError as error:
            raise OSError(str(error)) from None
        return local.read_bytes()

    def _tables(self, wanted: list[str]) -> list[str]:
        """Paths of the tables' files, by listing the folder or, where it cannot be listed, by name."""
        try:
            listed = [PurePosixPath(path).name for path in self._files.ls(self._root, detail=False)]
            names = [name for name in dict.fromkeys(listed) if name.casefold() in wanted]
            if not names:
                names = [name for name in wanted if self._files.exists(f"{self._root}/{name}")]
            paths = [path for name in names for path in self._below(name)]
        except Exception as error:  # every protocol has errors of its own
            raise self._unreachable(self.address, error) from None
        if not 0 < len(paths) <= _MOST_FILES:
            raise SourceError(
                f"{self.address} must hold the tables items and interactions, as 1 to {_MOST_FILES:,} files. "
                f"It has {len(paths):,}. Check the address."
            )
        return paths

    def _below(self, name: str) -> list[str]:
        path = f"{self._root}/{name}"
        if not self._files.isdir(path) or self._files.isfile(path):
            return [name]
        return [f"{name}/{each.partition(f'/{name}/')[2]}" for each in self._files.find(path)]

    def _local(self, path: str) -> Path:
        try:
            local = (self.folder / path).resolve()
        except (ValueError, RuntimeError):  # a NUL, or links in a circle
            raise SourceError(f"{path[:200]!r} must be a path.") from None
        if not local.is_relative_to(self.folder) or local == self.folder:
            raise SourceError(f"{path[:200]!r} must be a path within the source folder.")
        return local

    def _fetch(self, path: str, *, most: int, deadline: float) -> int:
        """Fetches a file whole or not at all, and returns its size in bytes."""
        local = self._local(path)
        local.parent.mkdir(parents=True, exist_ok=True)
        scratch = local.with_name(f".{secrets.token_hex(8)}")
        size = 0
        try:
            address = f"{self._root}/{local.relative_to(self.folder).as_posix()}"
            with self._files.open(address, "rb") as remote, scratch.open("wb") as file:
                while part := remote.read(_PART):
                    size += len(part)
                    if size > most or time.monotonic() > deadline:
                        what = f"at most {most >> 20:,} MiB" if size > most else "fetched in time"
                        raise SourceError(f"{path[:200]} must be {what}. It is not. Fetch the folder yourself.")
                    file.write(part)
            scratch.replace(local)
        except SourceError:
            raise
        except Exception as error:  # every protocol has errors of its own
            raise self._unreachable(path, error) from None
        finally:
            scratch.unlink(missing_ok=True)
        return size

    def _unreachable(self, what: str, error: Any) -> SourceError:
        reason = "it is not there" if isinstance(error, FileNotFoundError) else f"{type(error).__name__} {error}"
        return SourceError(f"{what[:200]} must be within reach. It cannot be fetched: {reason[:300]}.")
