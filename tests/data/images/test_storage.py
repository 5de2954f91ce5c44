from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_data import encoded, noisy_picture, write_source

from tfdvbpr.config.recommender import ImageCache
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import decoder
from tfdvbpr.data.images.storage import (
    CACHE_NAME,
    IMAGES_NAME,
    DecodedFile,
    InMemory,
    PackedJpegs,
    decode_into,
    training_images,
)
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.errors import ConfigError, DatasetError

COUNT = 300  # more than one record batch of the packed file


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """No decoded file; every tenth image is of another size than the dataset's."""
    folder = tmp_path_factory.mktemp("stored")
    sizes = [(20, 28) if number % 10 == 0 else (24, 16) for number in range(COUNT)]
    images = [encoded(noisy_picture((number % 256, 90, 30), size, number)) for number, size in enumerate(sizes)]
    items = [(f"i{number}", "shirt", image) for number, image in enumerate(images)]
    source = write_source(folder / "source", items, [(f"u{number}", f"i{number}") for number in range(COUNT)])
    options = PrepareOptions(image_size=(24, 16), max_cache_bytes=0)
    return prepare(read_folder(source), folder / "dataset", options=options, source_format="folder")


def test_packed_files_are_found_by_position(dataset: PreparedDataset) -> None:
    packed = dataset.images.packed
    assert len(packed) == COUNT
    for item in (0, 255, 256, COUNT - 1):
        jpeg = packed.jpeg(item)
        assert jpeg[:2] == b"\xff\xd8"
        assert jpeg[-2:] == b"\xff\xd9"
    rows = np.array([COUNT - 1, 1, 256, 1])
    for row, image in zip(rows, packed.read(rows), strict=True):
        np.testing.assert_array_equal(image, decoder((24, 16), "pad")(packed.jpeg(row)).numpy())
    assert packed.read(np.array([], np.int32)).shape == (0, 24, 16, 3)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_fast_way_gives_tensorflow_s_pixels(mode: str, subsampling: int, progressive: bool) -> None:
    """Training reads what serving will read, to the bit, for every kind of JPEG that is kept as it came."""
    height, width = 37, 51
    smooth = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    noise = np.random.default_rng(0).normal(0, 30, smooth.shape)
    image = Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80, subsampling=subsampling, progressive=progressive)
    into = np.zeros((height, width, 3), np.uint8)
    assert decode_into(into, buffer.getvalue())
    np.testing.assert_array_equal(into, decoder((height, width), "pad")(buffer.getvalue()).numpy())


def test_the_fast_way_leaves_the_rest_to_tensorflow() -> None:
    jpeg = encoded(noisy_picture((1, 2, 3), (24, 16), 0))
    assert not decode_into(np.zeros((24, 24, 3), np.uint8), jpeg)
    assert not decode_into(np.zeros((24, 16, 3), np.uint8), b"\xff\xd8 no image")


@pytest.mark.parametrize(("cache", "kind"), [("memory", InMemory), ("disk", DecodedFile), ("none", PackedJpegs)])
def test_every_cache_reads_the_same_pixels(dataset: PreparedDataset, cache: ImageCache, kind: type) -> None:
    rows = np.array([0, 10, 11, 299, 0])
    expected = dataset.images.packed.read(rows)
    for _ in range(2):  # the disk's file is written, then found
        store = training_images(dataset.images, dataset.path, fingerprint="f", cache=cache)
        assert isinstance(store, kind)
        np.testing.assert_array_equal(store.read(rows), expected)


def test_auto_takes_what_fits(dataset: PreparedDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tfdvbpr")

    def kind(gib: float) -> tuple[type, list[str]]:
        caplog.clear()
        store = training_images(dataset.images, tmp_path, fingerprint="f", cache_gib=gib)
        return type(store), caplog.messages

    size = COUNT * 24 * 16 * 3 / (1 << 30)
    assert kind(1.01 * size) == (InMemory, [])
    assert kind(0.01 * size)[0] is PackedJpegs
    assert not (tmp_path / "decoded").exists()
    chosen, lines = kind(0.2 * size)
    assert chosen is DecodedFile
    assert "Decoding 300 images once" in lines[0]
    assert [path.name for path in (tmp_path / "decoded").iterdir()] == ["24x16-f.npy"]


def test_a_disk_that_cannot_be_written(
    dataset: PreparedDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tfdvbpr")
    (tmp_path / "decoded").write_text("in the way")
    with pytest.raises(ConfigError, match="Set image_cache=none"):
        training_images(dataset.images, tmp_path, fingerprint="f", cache="disk")
    store = training_images(dataset.images, tmp_path, fingerprint="f", cache_gib=1e-4)
    assert isinstance(store, PackedJpegs)
    assert "cannot be written" in caplog.messages[-1]


def test_a_file_that_was_cut_off(dataset: PreparedDataset, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    np.save(whole / CACHE_NAME, np.zeros((4, 24, 16, 3), np.uint8))
    decoded = DecodedFile(whole / CACHE_NAME)
    with pytest.raises(IndexError, match=r"rows in \[0, 4\)"):
        decoded.read(np.array([4]))
    (whole / IMAGES_NAME).write_bytes((dataset.path / IMAGES_NAME).read_bytes())
    packed = PackedJpegs(whole / IMAGES_NAME, image_size=(24, 16), fit="pad")
    for path in (whole / CACHE_NAME, whole / IMAGES_NAME):
        with path.open("r+b") as file:
            file.truncate(100)
    with pytest.raises(DatasetError, match="cut off"):
        decoded.read(np.array([3]))
    with pytest.raises(DatasetError, match="cut off"):
        packed.jpeg(3)
