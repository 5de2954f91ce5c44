"""A source behind an address: fsspec's own memory, and a server of this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tiny_data import RED, encoded, noisy_picture, write_source

import tfdvbpr
from tfdvbpr.data.importers import remote
from tfdvbpr.data.importers.remote import RemoteFolder
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.errors import ConfigError, SourceError

PHOTOS = [encoded(noisy_picture(RED, (16, 16), number)) for number in range(4)]


def shop(folder: Path) -> Path:
    items = [(f"i{number}", "shoe", photo) for number, photo in enumerate(PHOTOS)]
    return write_source(folder, items, [(f"u{user}", f"i{item}") for user in range(2) for item in range(4)])


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[str]:
    """The address of a shop in fsspec's memory."""
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    files.put(f"{shop(tmp_path / 'shop')}/", "/bucket/shop/", recursive=True)
    yield "memory://bucket/shop"
    files.rm("/bucket", recursive=True)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tfdvbpr"


def prepared(address: str, output: Path) -> tfdvbpr.PreparedDataset:
    return tfdvbpr.prepare(address, output, options=PrepareOptions(image_size=(16, 16)))


def test_a_shop_in_memory_is_that_of_the_folder(memory: str, cache: Path, tmp_path: Path) -> None:
    here = prepared(str(tmp_path / "shop"), tmp_path / "here")
    there = prepared(memory, tmp_path / "there")
    assert there.manifest.fingerprint == here.manifest.fingerprint
    assert there.manifest.name == "shop"
    assert {path.name for path in cache.rglob("*") if path.is_file()} == {
        *("items.csv", "interactions.csv"),
        *(f"{number}.jpg" for number in range(4)),
    }


def test_tables_are_fetched_anew_and_images_are_not(memory: str, tmp_path: Path) -> None:
    import fsspec

    files, folder = fsspec.filesystem("memory"), RemoteFolder(memory)
    folder.fetch_tables()
    assert folder.image_bytes("images/1.jpg") == PHOTOS[1]
    files.pipe("/bucket/shop/images/1.jpg", b"changed")
    files.mv("/bucket/shop/items.csv", "/bucket/shop/items.tsv")
    again = RemoteFolder(memory)
    names = {path.name for path in again.fetch_tables().iterdir() if path.is_file()}
    assert names == {"items.tsv", "interactions.csv"}
    assert again.image_bytes("images/1.jpg") == PHOTOS[1]


def test_a_folder_of_parquet_files(memory: str) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe("/bucket/shop/items/shop=a/part-0.parquet", b"x")
    files.pipe("/bucket/shop/items/shop=b/part-0.parquet", b"y")
    folder = RemoteFolder(memory).fetch_tables()
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")) == [
        "items/shop=a/part-0.parquet",
        "items/shop=b/part-0.parquet",
    ]


@pytest.mark.parametrize("image", ["../items.csv", "/etc/passwd", "images/../../../x", "a\x00b", ".", ""])
def test_names_that_leave_the_folder_are_refused(memory: str, cache: Path, image: str) -> None:
    folder = RemoteFolder(memory)
    folder.fetch_tables()
    before = set(cache.rglob("*"))
    with pytest.raises(OSError, match="must be a path"):
        folder.image_bytes(image)
    assert set(cache.rglob("*")) == before


def test_downloads_are_bounded_in_size_and_time(memory: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RemoteFolder(memory)
    folder.fetch_tables()
    monkeypatch.setattr(remote, "MOST_IMAGE_BYTES", len(PHOTOS[0]) - 1)
    with pytest.raises(OSError, match=r"images/0\.jpg must be at most 0 MiB"):
        folder.image_bytes("images/0.jpg")
    monkeypatch.setattr(remote, "MOST_IMAGE_BYTES", len(PHOTOS[0]))
    monkeypatch.setattr(remote, "IMAGE_SECONDS", -1.0)
    with pytest.raises(OSError, match="must be fetched in time"):
        folder.image_bytes("images/0.jpg")
    monkeypatch.setattr(remote, "MOST_TABLE_BYTES", 60)
    with pytest.raises(SourceError, match="must be at most 0 MiB"):
        folder.fetch_tables()
    assert not [path for path in cache.rglob("*") if path.suffix == ".jpg"]


def test_what_is_not_there(memory: str) -> None:
    with pytest.raises(SourceError, match=r"must hold the tables items and interactions|It cannot be fetched"):
        RemoteFolder("memory://bucket/other").fetch_tables()
    with pytest.raises(OSError, match="it is not there"):
        RemoteFolder(memory).image_bytes("images/gone.jpg")


def test_a_server_of_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    shop(tmp_path / "a shop")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        dataset = prepared(f"http://127.0.0.1:{server.server_port}/a shop", tmp_path / "dataset")
    finally:
        server.shutdown()
        server.server_close()
    assert dataset.manifest.num_items == 4


@pytest.mark.parametrize("missing", ["fsspec", "fsspec.core"])
def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=r"pip install 'tfdvbpr\[remote\]'"):
        prepared("s3://bucket/shop", tmp_path / "dataset")


def test_only_folders_are_behind_addresses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--format hm takes a folder of this machine"):
        tfdvbpr.prepare("s3://bucket/shop", tmp_path / "dataset", source_format="hm")
