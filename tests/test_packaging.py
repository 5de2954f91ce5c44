"""What `pip install`, a wheel and a source distribution hold, read from one build of each."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

import tfdvbpr

ROOT = Path(__file__).parents[1]
PACKAGES = {"tfdvbpr": ROOT, "tfdvbpr_export": ROOT / "export", "tfdvbpr_serving": ROOT / "serving"}
# Made by tools and by `make`, as .gitignore has them.
NOT_SOURCE = (
    ".git",
    ".venv",
    ".venv-docs",
    "__pycache__",
    "*.egg-info",
    "build",
    "dist",
    ".*_cache",
    ".hypothesis",
    "_build",
)
_BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


def _ignored(folder: str, names: list[str]) -> set[str]:
    patterns = (*NOT_SOURCE, "demo") if Path(folder) == ROOT else NOT_SOURCE  # `make demo` writes demo/ at the top
    return {name for name in names if any(fnmatch(name, pattern) for pattern in patterns)}


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project without what was made in it."""
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("packaging") / "source", ignore=_ignored))


@pytest.fixture(scope="module")
def built(source: Path) -> Path:
    """A folder with one source distribution and one wheel."""
    folder = source.with_name("built")
    folder.mkdir()
    copy = shutil.copytree(source, source.with_name("copy"))
    for hook in ("build_sdist", "build_wheel"):
        command = [sys.executable, "-c", _BUILD, hook, str(folder)]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr, done.stderr
    return folder


def test_the_source_distribution_is_complete(source: Path, built: Path) -> None:
    name = f"tfdvbpr-{tfdvbpr.__version__}"
    with tarfile.open(built / f"{name}.tar.gz") as archive:
        found = {member.name.removeprefix(f"{name}/") for member in archive.getmembers() if member.isfile()}
    made = {"PKG-INFO", "setup.cfg", *(file for file in found if file.startswith("tfdvbpr.egg-info/"))}
    assert found - made == _files(source)


def test_the_wheel_has_every_module_and_data_file(built: Path) -> None:
    with zipfile.ZipFile(built / f"tfdvbpr-{tfdvbpr.__version__}-py3-none-any.whl") as archive:
        found = set(archive.namelist())
        scripts = archive.read(f"tfdvbpr-{tfdvbpr.__version__}.dist-info/entry_points.txt").decode()
    expected = {
        f"{package}/{file}"
        for package, root in PACKAGES.items()
        for file in _files(root / package)
        if "__pycache__" not in file
    }
    assert {file for file in found if ".dist-info/" not in file} == expected
    for package in PACKAGES:
        assert f"{package}/py.typed" in found
    assert "tfdvbpr_serving/deployment/compose.yaml" in found
    for script in ("tfdvbpr = tfdvbpr.cli:main", "tfdvbpr-export = tfdvbpr_export.cli:main"):
        assert script in scripts
    assert "tfdvbpr-serve = tfdvbpr_serving.cli:main" in scripts
