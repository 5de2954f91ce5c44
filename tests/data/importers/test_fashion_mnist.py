from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from PIL import Image

from tfdvbpr.api import prepare
from tfdvbpr.config.base import resolve_config
from tfdvbpr.data.importers import fashion_mnist
from tfdvbpr.data.importers.fashion_mnist import CLASSES, FashionMnistImporter
from tfdvbpr.data.preparation.prepare import PrepareOptions
from tfdvbpr.errors import ConfigError, SourceError

NUM_TRAIN, NUM_TEST = 90, 40
SMALL = FashionMnistImporter(num_items=1000, num_users=300, actions_per_user=(4, 12))


def photos() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """uint8 [130, 28, 28] of noise, each photo's first pixel its number; labels in turn."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (NUM_TRAIN + NUM_TEST, 28, 28)).astype(np.uint8)
    pixels[:, 0, 0] = np.arange(len(pixels))
    return pixels, (np.arange(len(pixels)) % 10).astype(np.uint8)


def write(folder: Path, *, packed: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pixels, labels = photos()
    for part, some in (("train", slice(None, NUM_TRAIN)), ("t10k", slice(NUM_TRAIN, None))):
        count = len(labels[some])
        for name, numbers, values in (
            (f"{part}-images-idx3-ubyte", [0x803, count, 28, 28], pixels[some]),
            (f"{part}-labels-idx1-ubyte", [0x801, count], labels[some]),
        ):
            data = np.array(numbers, ">u4").tobytes() + values.tobytes()
            (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)
    return folder


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "raw"])
def test_photos_classes_and_names(tmp_path: Path, packed: bool) -> None:
    source = SMALL.read(write(tmp_path / "idx", packed=packed))
    pixels, _ = photos()
    assert "simulated" in source.name
    assert source.items["item_id"].to_list() == [f"fashion-mnist-{number:05d}" for number in range(130)]
    assert source.items["category"].to_list() == [CLASSES[number % 10] for number in range(130)]
    for number, image in enumerate(source.items["image"]):
        with Image.open(io.BytesIO(source.image_bytes(image))) as opened:
            assert opened.mode == "RGB"
            np.testing.assert_array_equal(np.asarray(opened), np.repeat(pixels[number, ..., None], 3, axis=2))
    assert source.interactions["user_id"].str.starts_with("simulated-").all()


def test_users_act_by_their_preferences_for_classes(tmp_path: Path) -> None:
    folder = write(tmp_path / "idx")
    source = SMALL.read(folder)
    again, other = (
        SMALL.read(folder),
        SMALL.model_copy(update={"seed": 1}).read(folder),
    )
    assert source.interactions.equals(again.interactions)
    assert not source.interactions.equals(other.interactions)
    actions = source.interactions
    assert actions.select("user_id", "item_id").is_duplicated().sum() == 0
    counts = actions.group_by("user_id").len()["len"]
    assert (counts.min(), counts.max(), len(counts)) == (4, 12, 300)

    def favourite_share(spread: float) -> float:
        """How much of a user's actions the commonest class takes, on average."""
        sampled = SMALL.model_copy(update={"preference_stddev": spread}).read(folder)
        table = sampled.interactions.join(sampled.items, on="item_id").group_by("user_id", "category").len()
        shares = table.group_by("user_id").agg(pl.col("len").max() / pl.col("len").sum())["len"]
        return float(shares.to_numpy().mean())

    assert favourite_share(2.0) > 1.4 * favourite_share(0.0)


def test_a_bounded_number_of_items_prepares(tmp_path: Path) -> None:
    dataset = prepare(
        write(tmp_path / "idx"),
        tmp_path / "dataset",
        source_format="fashion-mnist",
        importer_options={"num_items": 50, "num_users": 20},
        options=PrepareOptions(image_size=(28, 28)),
    )
    assert (dataset.manifest.num_items, dataset.manifest.num_users, dataset.manifest.num_quarantined) == (50, 20, 0)
    assert dataset.manifest.source_format == "fashion-mnist"
    pixels, _ = photos()
    number = int(dataset.items.item_ids[7].rsplit("-", 1)[1])
    difference = dataset.images.read(np.array([7]))[0].astype(int) - pixels[number, ..., None]
    assert np.abs(difference).mean() < 4


def test_keras_steps_in_where_debian_has_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras's own loader reads the files from its cache."""
    cache = write(tmp_path / "keras" / "datasets" / "fashion-mnist")
    get_file = keras.utils.get_file

    def from_cache(name: str, origin: str, **options: Any) -> Any:
        return get_file(name, origin=(cache / name).as_uri(), cache_dir=str(tmp_path / "keras"), **options)

    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr("keras.src.datasets.fashion_mnist.get_file", from_cache)
    expected = SMALL.read(cache)
    source = SMALL.read(None)
    assert source.items.equals(expected.items)
    assert source.image_bytes("77") == expected.image_bytes("77")

    def unreachable(*_: Any, **__: Any) -> Any:
        raise OSError("no route to host")

    monkeypatch.setattr("keras.src.datasets.fashion_mnist.get_file", unreachable)
    with pytest.raises(SourceError, match=r"cannot be fetched: no route to host\. Install the package"):
        SMALL.read(None)


def test_damaged_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "idx")
    images = folder / "train-images-idx3-ubyte.gz"
    whole = images.read_bytes()
    data = gzip.decompress(whole)
    images.write_bytes(whole[:-20])
    with pytest.raises(SourceError, match="must be whole"):
        SMALL.read(folder)
    for damaged in (data[:-1], data[:3], b"\0" + data, data.replace(b"\0\0\x08\x03", b"\0\0\x08\x01", 1)):
        images.write_bytes(gzip.compress(damaged))
        with pytest.raises(SourceError, match="must be an IDX file of 28x28 bytes an entry"):
            SMALL.read(folder)
    images.unlink()
    with pytest.raises(SourceError, match=r"has no train-images-idx3-ubyte\[\.gz\]"):
        SMALL.read(folder)
    write(folder)
    labels = np.full(NUM_TEST, 10, np.uint8)
    data = np.array([0x801, NUM_TEST], ">u4").tobytes() + labels.tobytes()
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(data))
    with pytest.raises(SourceError, match="a label from 0 to 9 for each photo"):
        SMALL.read(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("actions_per_user", (3, 2)),
        ("actions_per_user", (4, 10_000)),
        ("num_users", 0),
        ("seed", -1),
        ("preference_stddev", np.nan),
    ],
)
def test_options_out_of_range(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` has a wrong value"):
        resolve_config(FashionMnistImporter, defaults={name: value})
