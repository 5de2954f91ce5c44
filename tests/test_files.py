"""One writer of an output at a time, and nothing left of killed ones."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tfdvbpr.errors import DiskFullError, OutputExistsError
from tfdvbpr.files import only_writer, remove_whole, sweep_scratch, whole_directory, whole_file

_WRITER = """
import sys, time
from pathlib import Path
from tfdvbpr.files import whole_directory
with whole_directory(Path(sys.argv[1]), if_exists="overwrite") as folder:
    (folder / "half").write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""


@contextmanager
def _writer(output: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that is in the middle of writing."""
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(output)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "writing\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_second_writer_is_refused_and_the_first_one_is_not_disturbed(tmp_path: Path) -> None:
    output = tmp_path / "shop.dataset"
    with _writer(output):
        before = _names(tmp_path)
        refused = pytest.raises(OutputExistsError, match=r"One process may write .*shop\.dataset at a time")
        with refused, whole_directory(output, if_exists="overwrite"):
            pass
        sweep_scratch(output)
        assert _names(tmp_path) == before
        assert not output.exists()


def test_a_killed_writer_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    output = tmp_path / "shop"
    output.mkdir()
    (output / "old").write_text("")
    others = (tmp_path / ".shop-insiders", tmp_path / ".shop2.scratch-abcdefgh", tmp_path / "shop.scratch-abcdefgh")
    for folder in others:
        folder.mkdir()
    with _writer(output) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert any(".scratch-" in name and name.startswith(".shop.") for name in _names(tmp_path))
    assert _names(output) == ["old"]
    with whole_directory(output, if_exists="overwrite") as folder:
        (folder / "new").write_text("")
    assert _names(output) == ["new"]
    assert _names(tmp_path) == sorted(["shop", *(folder.name for folder in others)])


def test_a_writer_that_was_killed_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    """It had moved the old folder away, and not yet the new one into its place."""
    output = tmp_path / "shop"
    moved = tmp_path / ".shop.old-abcdefgh" / "shop"
    moved.mkdir(parents=True)
    (moved / "old").write_text("")
    (tmp_path / ".shop.scratch-abcdefgh").mkdir()
    sweep_scratch(output)
    assert _names(tmp_path) == ["shop"]
    assert _names(output) == ["old"]


@pytest.mark.parametrize("begins", ["pathlib.Path.mkdir", "pathlib.Path.open", "tempfile.mkdtemp"])
def test_a_disk_that_is_full_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins: str
) -> None:
    """No room for the parent folder, the lock or the scratch folder."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(begins, full)
        with pytest.raises(DiskFullError, match="Make room and repeat"), whole_directory(tmp_path / "shop"):
            pass
    assert _names(tmp_path) == []


def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), only_writer(tmp_path / "shop"):
            raise KeyError
        assert _names(tmp_path) == []


def test_inner_folders_of_a_killed_writer_are_not_taken_for_a_replaced_output(tmp_path: Path) -> None:
    (tmp_path / ".images.scratch-abcdefgh" / "images").mkdir(parents=True)
    sweep_scratch(tmp_path / "images")
    assert _names(tmp_path) == []


def test_a_refused_output_is_swept(tmp_path: Path) -> None:
    """A writer was killed after the last rename."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "part").touch()
    (tmp_path / ".shop.old-abcdefgh" / "shop").mkdir(parents=True)
    (tmp_path / ".shop.lock").touch()
    with pytest.raises(OutputExistsError, match="holds files already"), whole_directory(tmp_path / "shop"):
        pass
    assert _names(tmp_path) == ["shop"]


def test_what_a_killed_writer_of_a_file_left_is_removed_and_a_living_one_is_not_disturbed(tmp_path: Path) -> None:
    others = [".shop.png.notes", ".shop.jpg.scratch-0a1b2c3d.jpg", ".shop.png.scratch-folder"]
    (tmp_path / others[2]).mkdir()
    for name in (*others[:2], ".shop.png.scratch-0a1b2c3d.png"):
        (tmp_path / name).touch()
    path = tmp_path / "shop.png"
    with whole_file(path) as first:
        first.write_text("first")
        with whole_file(path) as second:
            second.write_text("second")
            assert sorted([*others, first.name, second.name]) == _names(tmp_path)
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert sorted([*others, "shop.png"]) == _names(tmp_path)


def test_a_folder_is_removed_whole(tmp_path: Path) -> None:
    (tmp_path / "shop" / "part").mkdir(parents=True)
    with only_writer(tmp_path / "shop"), pytest.raises(OutputExistsError):
        remove_whole(tmp_path / "shop")
    assert _names(tmp_path) == ["shop"]
    remove_whole(tmp_path / "shop")
    assert _names(tmp_path) == []
