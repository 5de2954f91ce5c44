"""Files and keys of a dataset, a run and a GAN run, deleted, cut off, changed or swapped: one sentence or none."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_data import Command

import tfdvbpr
from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.dataset import MANIFEST_NAME, PreparedDataset
from tfdvbpr.data.preparation.description import describe_dataset
from tfdvbpr.errors import TfdvbprError
from tfdvbpr.run import GanRun, Run

Use = Callable[[Path], object]
_OTHERS: tuple[Any, ...] = (None, -1, 1 << 40, "x", [], {}, [["x"]])


def _use_dataset(path: Path) -> None:
    dataset = PreparedDataset.open(path)
    describe_dataset(dataset)
    assert len(dataset.user_ids) == dataset.manifest.num_users
    dataset.images.read(np.arange(dataset.manifest.num_items))
    dataset.images.jpeg(0)


def _use_run(path: Path) -> None:
    run = Run.open(path)
    assert run.recommend(run.user_ids[0], k=2)
    assert run.config.epochs
    assert isinstance(run.metrics, dict)
    assert run.model_class is not None


def _use_gan_run(path: Path) -> None:
    run = GanRun.open(path)
    assert run.config.latent_dim
    assert run.trained_categories
    assert run.category_id(run.trained_categories[0]) >= 0
    assert np.isfinite(run.logit_scale.scales).all()


def _one_sentence(use: Use, folder: Path) -> bool:
    """Whether it fails; another exception than this library's passes through."""
    try:
        use(folder)
    except TfdvbprError as error:
        sentence = str(error)
    else:
        return False
    assert len(sentence.splitlines()) == 1
    assert len(sentence) < 1500
    return True


def _damages(path: Path, others: list[bytes]) -> Iterator[bytes | None]:
    data = path.read_bytes()
    yield None
    yield b""
    yield data[: len(data) // 2]
    yield data[:-1]
    yield data[: len(data) // 4] + bytes(len(data) - len(data) // 4)
    yield bytes(reversed(data))
    yield from others


def _declare(folder: Path, name: str) -> None:
    """Has a dataset's manifest hold the damaged file's size, so that what reads the file meets it."""
    manifest = folder / MANIFEST_NAME
    about = json.loads(manifest.read_text())
    if name in about.get("files", {}) and (folder / name).is_file():
        about["files"][name]["num_bytes"] = (folder / name).stat().st_size
        manifest.write_text(json.dumps(about))


def _keys(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value in nested JSON."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in pairs:
        yield (*path, key)
        yield from _keys(below, (*path, key))


def _changed(value: Any, path: tuple[Any, ...]) -> Iterator[Any]:
    """The value without what stands at a place, and with something else there."""
    for other in ("delete", *_OTHERS):
        whole = copy.deepcopy(value)
        holder = whole
        for key in path[:-1]:
            holder = holder[key]
        if isinstance(other, str) and other == "delete":
            del holder[path[-1]]
        else:
            holder[path[-1]] = other
        yield whole


def _check_files(folder: Path, use: Use) -> None:
    use(folder)
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    kept = {name: (folder / name).read_bytes() for name in names}
    failed = set()
    for name in names:
        others = [kept[other] for other in names if other != name]
        for damage in _damages(folder / name, others):
            if damage is None:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(damage)
            if name != MANIFEST_NAME:
                _declare(folder, name)
            failed |= {name} if _one_sentence(use, folder) else set()
            for other, data in kept.items():
                (folder / other).write_bytes(data)
    use(folder)
    assert MANIFEST_NAME in failed


def _check_keys(file: Path, use: Use) -> None:
    text = file.read_text(encoding="utf-8")
    value, failures = json.loads(text), 0
    for path in _keys(value):
        for changed in _changed(value, path):
            file.write_text(json.dumps(changed), encoding="utf-8")
            failures += _one_sentence(use, file.parent)
    file.write_text(text, encoding="utf-8")
    use(file.parent)
    assert failures


@pytest.fixture
def dataset(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkerboard_dataset.path, tmp_path / "dataset"))


@pytest.fixture
def run(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> Path:
    """Of a model that needs no training."""
    tfdvbpr.train(checkerboard_dataset, tmp_path / "run", config=RecommenderConfig(model="popularity"))
    (tmp_path / "run" / "metrics.json").write_text('{"auc": {"all": 0.5}}')
    return tmp_path / "run"


def test_files_of_a_dataset(dataset: Path) -> None:
    _check_files(dataset, _use_dataset)


def test_keys_of_a_dataset(dataset: Path) -> None:
    _check_keys(dataset / MANIFEST_NAME, _use_dataset)


def test_files_and_keys_of_a_run(run: Path) -> None:
    _check_files(run, _use_run)
    _check_keys(run / MANIFEST_NAME, _use_run)


def test_files_and_keys_of_a_gan_run(tiny_gan_run: GanRun, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_gan_run.path, tmp_path / "run"))
    shutil.rmtree(folder / "samples", ignore_errors=True)
    _check_files(folder, _use_gan_run)
    _check_keys(folder / MANIFEST_NAME, _use_gan_run)
    _check_keys(folder / "gan.json", _use_gan_run)


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_weights_of_a_gan_run(tiny_gan_run: GanRun, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(tiny_gan_run.path, tmp_path / "run"))
    path = folder / f"{name}.weights.h5"
    data = path.read_bytes()
    other = folder / f"{'discriminator' if name == 'generator' else 'generator'}.weights.h5"
    for damage in (None, b"", data[: len(data) // 2], bytes(reversed(data)), other.read_bytes()):
        path.unlink() if damage is None else path.write_bytes(damage)
        assert _one_sentence(lambda place: getattr(GanRun.open(place), name), folder)


def test_weights_of_a_run(tiny_run: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_run.path, tmp_path / "run"))
    path = folder / "model.weights.h5"
    data = path.read_bytes()
    for damage in (b"", data[: len(data) // 2], bytes(reversed(data)), (folder / "factors.npz").read_bytes()):
        path.write_bytes(damage)
        assert _one_sentence(lambda place: Run.open(place).recommender, folder)


def test_the_command_says_it_in_one_line(run: Path, dataset: Path, command: Command) -> None:
    (run / "items.parquet").write_bytes(b"PAR1")
    code, _, complaint = command("recommend", run, "--user", "u0")
    assert code == 2
    assert len(complaint.splitlines()) == 1
    assert "items.parquet must be whole" in complaint
    (dataset / "images.arrow").unlink()
    code, _, complaint = command("describe", dataset)
    assert code == 2
    assert len(complaint.splitlines()) == 1
