"""A full disk at each write of a preparation, and changed or contested datasets."""

from __future__ import annotations

from pathlib import Path

import pytest
from full_disk import room_for_files_of, sizes_that_fail
from tiny_data import RED, Command, encoded, noisy_picture, write_source

import tfdvbpr
from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation.extend import extend
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.data.preparation.prepare import prepare
from tfdvbpr.errors import DatasetError, DiskFullError
from tfdvbpr.files import only_writer


def _source(folder: Path, items: range) -> Path:
    pictures = [(f"i{item}", "shoe", encoded(noisy_picture(RED, (24, 24), item))) for item in items]
    return write_source(folder, pictures, [("u0", f"i{item}") for item in items])


def test_a_full_disk_at_each_write_of_prepare(tmp_path: Path) -> None:
    source = _source(tmp_path / "source", range(40))
    options = PrepareOptions(image_size=(32, 32), min_item_actions=1)
    whole = prepare(read_folder(source), tmp_path / "whole", options=options, source_format="folder")
    for size in sizes_that_fail(whole.path):
        with room_for_files_of(size), pytest.raises(DiskFullError, match="Make room and repeat"):
            prepare(read_folder(source), tmp_path / "dataset", options=options, source_format="folder")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "whole"]
    again = prepare(read_folder(source), tmp_path / "dataset", options=options, source_format="folder")
    assert again.manifest == whole.manifest


def test_a_full_disk_at_each_write_of_new_items(tmp_path: Path) -> None:
    """The decoded images of old and new items are joined in a file, which is not mapped into memory."""
    options = PrepareOptions(image_size=(32, 32))
    source = read_folder(_source(tmp_path / "source", range(20)))
    old = prepare(source, tmp_path / "old", options=options, source_format="folder")
    new = _source(tmp_path / "new", range(20, 60))
    whole = extend(old, read_folder(new, with_interactions=False), tmp_path / "whole")
    for size in sizes_that_fail(whole.path):
        with room_for_files_of(size), pytest.raises(DiskFullError):
            extend(old, read_folder(new, with_interactions=False), tmp_path / "larger")
        assert not (tmp_path / "larger").exists()


def test_a_second_preparation_of_one_dataset_is_refused(command: Command, tmp_path: Path) -> None:
    source = _source(tmp_path / "source", range(4))
    with only_writer(tmp_path / "dataset"):
        code, _, complaint = command("prepare", source, "--output", tmp_path / "dataset")
    assert code == 2
    assert complaint.splitlines()[-1].startswith("tfdvbpr: One process may write ")
    assert command("prepare", source, "--output", tmp_path / "dataset")[0] == 0


@pytest.mark.parametrize("name", ["images.arrow", "images_uint8.npy", "interactions.parquet"])
def test_a_changed_file_is_noticed_when_training_begins(tmp_path: Path, name: str) -> None:
    """It has the size that it had."""
    source = read_folder(_source(tmp_path / "source", range(4)))
    dataset = prepare(source, tmp_path / "dataset", options=PrepareOptions(image_size=(32, 32)), source_format="folder")
    data = bytearray((dataset.path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (dataset.path / name).write_bytes(data)
    config = RecommenderConfig(model="popularity")
    with pytest.raises(DatasetError, match=f"{name} must agree with the manifest"):
        tfdvbpr.train(PreparedDataset.open(dataset.path), tmp_path / "run", config=config)
    assert not (tmp_path / "run").exists()
