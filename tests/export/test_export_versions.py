from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from waiting import wait_until

from tfdvbpr.errors import ConfigError, DiskFullError, OutputExistsError
from tfdvbpr.files import only_writer
from tfdvbpr_export import saved_model
from tfdvbpr_export.versions import next_version, remove_old_versions, whole_version
from tfdvbpr_serving.config import version_folders


def test_versions_count_up(tmp_path: Path) -> None:
    assert next_version(tmp_path / "new") == tmp_path / "new" / "1"
    for name in ("2", "10", "9", "notes", ".11-scratch", "١٢"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == tmp_path / "11"


def test_the_last_number_a_server_can_read(tmp_path: Path) -> None:
    (tmp_path / f"{2**63 - 1}").mkdir()
    with pytest.raises(ConfigError, match="must have room for another version"):
        next_version(tmp_path)


def test_the_base_path_may_not_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputExistsError, match="must be a folder"):
        next_version(tmp_path / "file")


def test_a_server_sees_a_version_whole_or_not_at_all(tmp_path: Path) -> None:
    with whole_version(tmp_path / "models" / "1") as scratch:
        (scratch / "saved_model.pb").write_text("")
        assert version_folders(tmp_path / "models") == {}
        assert scratch.parent == tmp_path / "models"  # the same disk, so that the rename is one step
        assert not any(path.name.isdigit() for path in scratch.parent.iterdir())
    assert list(version_folders(tmp_path / "models")) == [1]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["1"]
    assert stat.S_IMODE((tmp_path / "models" / "1").stat().st_mode) == 0o755


def test_two_exports_of_one_version(tmp_path: Path) -> None:
    with whole_version(tmp_path / "1") as scratch:
        (scratch / "first").write_text("")
        with (
            pytest.raises(OutputExistsError, match="One process may write"),
            whole_version(tmp_path / "1"),
        ):
            pass
    assert [path.name for path in (tmp_path / "1").iterdir()] == ["first"]
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


class _Zeros(tf.Module):
    @saved_model.served("embed_images")
    def embed_images(self, image_bytes: Any) -> dict[str, Any]:
        return {"embeddings": tf.zeros((tf.shape(image_bytes)[0], 2))}


def test_an_error_in_the_middle_leaves_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(path: Path, logs: object) -> None:
        assert (path.parents[1] / "saved_model.pb").is_file()
        raise OSError("No space left on device")

    monkeypatch.setattr(saved_model, "_write_logs", full_disk)
    with pytest.raises(DiskFullError, match="No space"):
        saved_model.write_version(
            _Zeros(), next_version(tmp_path / "models"), examples={"embed_images": [{"image_bytes": [b""]}]}, about={}
        )
    assert os.listdir(tmp_path / "models") == []
    assert next_version(tmp_path / "models").name == "1"


@pytest.mark.parametrize("size", [0, 100, 1000])
def test_a_full_disk_at_different_writes_of_a_version(tmp_path: Path, size: int) -> None:
    """No file may be longer; variables, graph and answers are written by TensorFlow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(DiskFullError, match="Make room and repeat"):
            saved_model.write_version(
                _Zeros(),
                next_version(tmp_path / "models"),
                examples={"embed_images": [{"image_bytes": [b""]}]},
                about={},
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path / "models") == []


def test_importing_the_package_loads_no_tensorflow() -> None:
    script = (
        "import sys, tfdvbpr_export\n"
        "assert 'export_designer' in dir(tfdvbpr_export)\n"
        "import tfdvbpr_export.cli\n"
        "print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


_WRITER = """
import sys
from pathlib import Path
from tfdvbpr_export.versions import next_version, remove_old_versions, whole_version
while True:
    folder = next_version(Path(sys.argv[1]))
    with whole_version(folder) as scratch:
        (scratch / "assets.extra").mkdir()
        for number in range(20):
            (scratch / f"part-{number}").write_bytes(b"x" * 50_000)
        (scratch / "assets.extra" / "tfdvbpr.json").write_text("{}")
        (scratch / "saved_model.pb").write_text("")
    remove_old_versions(folder, keep=2)
"""


def test_a_killed_writer_leaves_no_half_version(tmp_path: Path) -> None:
    """The same with real exports and a server that watches: tests/benchmarks/test_kills.py."""
    paths = os.pathsep.join(path for path in sys.path if path)
    generator, found = np.random.default_rng(0), set()
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)], env={**os.environ, "PYTHONPATH": paths}
        )
        before = max(version_folders(tmp_path), default=0)
        wait_until(lambda before=before: max(version_folders(tmp_path), default=0) > before)
        assert writer.poll() is None
        time.sleep(generator.uniform(0, 0.05))
        writer.kill()
        assert writer.wait() == -signal.SIGKILL
        for number, folder in version_folders(tmp_path).items():
            assert len(list(folder.iterdir())) == 22, folder
            assert {part.stat().st_size for part in folder.glob("part-*")} == {50_000}
            found.add(number)
    assert len(found) >= 6


def test_old_versions_are_removed_and_other_folders_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(1, 6):
        (tmp_path / f"{number}" / "assets.extra").mkdir(parents=True)
        if number != 2:
            (tmp_path / f"{number}" / "assets.extra" / "tfdvbpr.json").write_text("{}")
    assert remove_old_versions(tmp_path / "1", keep=None) == []
    removed = remove_old_versions(tmp_path / "1", keep=2)
    assert [path.name for path in removed] == ["3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "4", "5"]
    assert "2 is kept: tfdvbpr-export did not write it" in caplog.text
    with pytest.raises(ConfigError, match="`keep` must be 1 or more"):
        next_version(tmp_path, keep=0)


def test_what_killed_exports_left_of_any_version_is_removed(tmp_path: Path) -> None:
    for name in (".3.scratch-abcdefgh", ".4.old-abcdefgh/4", ".6.scratch-abcdefgh", "2", "4", ".9-notes"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".2.lock").touch()
    with only_writer(tmp_path / "6"), whole_version(tmp_path / "5"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".6.scratch-abcdefgh", ".9-notes", "2", "4", "5"]
