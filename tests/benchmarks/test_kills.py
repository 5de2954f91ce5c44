"""SIGKILL at 50 moments of each command, spread over all of its time and over that of its writing.

After each kill the output is absent or whole. The same command goes on with what the killed one left, and ends as if
nothing had been, with nothing left beside the output.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from commands import Commands
from tiny_data import checkerboard

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import GanRun, Run
from tfdvbpr_serving.client import Client
from tfdvbpr_serving.config import version_folders
from tfdvbpr_serving.errors import ServingError
from tfdvbpr_serving.server.server import LocalServer

KILLS = 50
# What differs between two runs of one command: times, and the order of a graph's nodes.
_DIFFER = ("log.jsonl", "history.csv", "manifest.json", "saved_model.pb", "fingerprint.pb", "tfdvbpr.json")
_SMALL_GAN = ("epochs=3", "latent_dim=4", "base_channels=4", "discriminator_channels=4", "min_category_images=1")

Arguments = tuple[object, ...]
Opens = Callable[[Path], object]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return checkerboard(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    commands = Commands(tmp_path_factory.mktemp("log") / "log")
    yield commands
    commands.close()


def _digest(folder: Path) -> dict[str, str]:
    """Of every file, by its path; only that it is there for those that hold a time."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): ""
        if path.name in _DIFFER
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _cpu_seconds(process: int) -> float:
    """Processor time since the start, by which moments are as well spread on a busy machine; OSError once it ended."""
    return time.clock_gettime((~process << 3) | 2)  # Linux's number of a process's clock


def _times(commands: Commands, command: Arguments, output: Path, first_file: str = "*") -> tuple[float, float]:
    """Seconds until an undisturbed command first writes a file of this name beside its output, and until its end."""
    assert commands.run(*command) == 0, commands.printed()
    shutil.rmtree(output)
    process, writing, now = commands.start(*command), 0.0, 0.0
    with suppress(OSError):
        while True:
            now = _cpu_seconds(process)
            writing = writing or (now if any(output.parent.glob(first_file)) else 0.0)
            time.sleep(0.001)
    assert commands.end() == 0, commands.printed()
    return writing, now


@dataclass(frozen=True)
class _Moment:
    """So many seconds of processor time after the start, or after the first new file where `writing`."""

    seconds: float
    writing: bool


def _moments(writing: float, end: float, kills: int, seed: int = 0) -> list[_Moment]:
    """Every other one within the time of writing, each kind evenly spread with a jitter, in an order at random."""
    random = np.random.default_rng(seed)
    half = kills // 2
    anywhere = (np.arange(kills - half) + random.random(kills - half)) / (kills - half) * end
    within = (np.arange(half) + random.random(half)) / half * (end - writing)
    moments = [_Moment(float(seconds), False) for seconds in anywhere]
    moments += [_Moment(float(seconds), True) for seconds in within]
    return [moments[number] for number in random.permutation(len(moments))]


def _kill(commands: Commands, command: Arguments, moment: _Moment, files: Callable[[], set[Path]]) -> bool:
    """Whether it was still running."""
    before = files()
    process = commands.start(*command)
    with suppress(OSError):  # it has ended
        while moment.writing and not files() - before:
            _cpu_seconds(process)
            time.sleep(0.0002)
        since = _cpu_seconds(process) if moment.writing else 0.0
        while _cpu_seconds(process) - since < moment.seconds:
            time.sleep(0.0002)
        os.kill(process, signal.SIGKILL)
    return commands.end() == -signal.SIGKILL


def _kill_each_time(
    commands: Commands, command: Arguments, output: Path, opens: Opens, kills: int, first_file: str = "*"
) -> Counter[str]:
    """Kills one command after another on what the last one left, and reads it; every fifth time, lets one end."""
    writing, end = _times(commands, command, output, first_file)
    whole = _digest(output)
    shutil.rmtree(output)
    found: Counter[str] = Counter()

    def check() -> None:
        opens(output)
        assert _digest(output) == whole
        shutil.rmtree(output)

    for number, moment in enumerate(_moments(writing, end, kills)):
        killed = _kill(commands, command, moment, lambda: set(output.parent.glob(first_file)))
        found["killed" if killed else "ended before"] += 1
        left = [name for name in _names(output.parent) if name != output.name]
        found["left scratch"] += bool(left)
        found["continued from a checkpoint"] += "Continuing an interrupted training" in commands.printed()
        found["output whole" if output.exists() else "output absent"] += 1
        if output.exists():
            check()
        if number % 5 == 4:
            assert commands.run(*command) == 0, commands.printed()
            assert _names(output.parent) == [output.name], (moment, left)
            check()
            found["then ran to its end"] += 1
    print(
        f"\n{command[0]} {command[1]}: {kills} kills within {end:.2f} s, writing from {writing:.2f} s on: {dict(found)}"
    )
    return found


def _sets(*values: str) -> list[str]:
    return [each for value in values for each in ("--set", value)]


def test_prepare(commands: Commands, dataset: PreparedDataset, tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    source = dataset.path.parent / "source"
    command = ("tfdvbpr", "prepare", source, "--output", output, "--image-size", "32x32")
    found = _kill_each_time(commands, command, output, PreparedDataset.open, KILLS)
    assert found["killed"] > KILLS * 0.7


@pytest.mark.parametrize("model", ["dvbpr", "popularity"])
def test_train(commands: Commands, dataset: PreparedDataset, tmp_path: Path, model: str) -> None:
    """A checkpoint a step; a model in closed form has none."""
    output = tmp_path / "run"
    first = ".run.training/step-*" if model == "dvbpr" else "*"
    steps = ("epochs=12", "embedding_dim=4", "global_batch_size=8", "checkpoint_steps=1") if model == "dvbpr" else ()
    command = ("tfdvbpr", "train", dataset.path, "--output", output, "--model", model, *_sets(*steps))
    found = _kill_each_time(commands, command, output, Run.open, KILLS, first)
    assert found["killed"] > KILLS * 0.7
    assert model != "dvbpr" or found["continued from a checkpoint"] > KILLS / 10


def test_train_gan(commands: Commands, dataset: PreparedDataset, tmp_path: Path) -> None:
    output = tmp_path / "gan"
    settings = _sets(*_SMALL_GAN, "global_batch_size=8", "checkpoint_steps=1")
    command = ("tfdvbpr", "train-gan", dataset.path, "--output", output, *settings)
    found = _kill_each_time(commands, command, output, GanRun.open, KILLS, ".gan.training/step-*")
    assert found["killed"] > KILLS * 0.7
    assert found["continued from a checkpoint"] > KILLS / 10


def _ranking(client: Client) -> tuple[tuple[str, ...], list[float]]:
    best = client.recommend(["u0"], k=3)[0]
    return best.item_ids, best.scores.tolist()


def _half(folder: Path) -> str:
    """What is missing of a version; "" where it is whole, or has been removed whole in the meantime."""
    manifest = folder / "assets.extra" / "tfdvbpr.json"
    if not folder.exists():
        return ""
    if not manifest.is_file():
        return f"{folder} has no manifest" if folder.exists() else ""
    files = json.loads(manifest.read_text())["files"]
    short = [
        name for name, size in files.items() if not (folder / name).is_file() or (folder / name).stat().st_size != size
    ]
    return f"{folder} lacks {short}" if short and folder.exists() else ""


def test_export(commands: Commands, dataset: PreparedDataset, tmp_path: Path) -> None:
    """A server watches the folder, answers all the time and loads what appears."""
    run = api.train(dataset, tmp_path / "run", config=recommender_config("popularity")).path
    output = tmp_path / "models" / "recommender"
    command = ("tfdvbpr-export", "recommender", run, "--output", output, "--keep", "2")
    output.parent.mkdir()
    writing, end = _times(commands, command, output)
    assert commands.run(*command) == 0, commands.printed()
    whole = _digest(output / "1")
    problems: list[str] = []
    answers, stop = [0], threading.Event()

    def look() -> None:
        while not stop.wait(0.001):
            problems.extend(filter(None, map(_half, version_folders(output).values())))

    def ask(client: Client, expected: object) -> None:
        while not stop.wait(0.01):
            try:
                if _ranking(client) != expected:
                    problems.append("another answer")
                answers[0] += 1
            except ServingError as error:
                problems.append(f"a request failed: {error}")

    found: Counter[str] = Counter()
    with LocalServer({"recommender": output}, poll_seconds=0.5) as server, Client(server.target) as client:
        expected = _ranking(client)
        threads = [threading.Thread(target=look), threading.Thread(target=ask, args=(client, expected))]
        for thread in threads:
            thread.start()
        try:
            for number, moment in enumerate(_moments(writing, end, KILLS)):
                before = set(_names(output))
                killed = _kill(commands, command, moment, lambda: set(output.glob(".*")))
                found["killed" if killed else "ended before"] += 1
                left = [name for name in _names(output) if name.startswith(".")]
                found["left scratch"] += bool(left)
                new = {name for name in set(_names(output)) - before if not name.startswith(".")}
                found["version whole" if new else "version absent"] += 1
                for name in new:
                    assert _digest(output / name) == whole, (moment, left)
                if number % 5 == 4:  # the next one is also killed otherwise
                    assert commands.run(*command) == 0, commands.printed()
                    assert not any(name.startswith(".") for name in _names(output)), left
                    found["then ran to its end"] += 1
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        states = client.model_status()
    print(f"\ntfdvbpr-export recommender: {KILLS} kills within {end:.2f} s, writing from {writing:.2f} s on:")
    print(f"{dict(found)}, {answers[0]} answers, versions {states}")
    assert problems == []
    assert all(state.error == "" for state in states)
    assert found["killed"] > KILLS * 0.7


def test_serve(commands: Commands, dataset: PreparedDataset, tmp_path: Path) -> None:
    """Killed while it loads, answers and changes versions; the next one takes the same port at once."""
    run = api.train(dataset, tmp_path / "run", config=recommender_config("popularity")).path
    output = tmp_path / "models" / "recommender"
    assert commands.run("tfdvbpr-export", "recommender", run, "--output", output) == 0, commands.printed()
    whole = _digest(output / "1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ("tfdvbpr-serve", output, "--port", port, "--poll-seconds", "0.1")
    random = np.random.default_rng(0)
    found: Counter[str] = Counter()
    expected: object = None
    usual = 0.0
    for number in range(-1, KILLS):
        process = commands.start(*command)
        began = time.perf_counter()
        kill_at = began + float((number + random.random()) / KILLS * 3.0 * usual)
        with Client(f"127.0.0.1:{port}", timeout_seconds=5) as client:
            version = 1
            while number < 0 or time.perf_counter() < kill_at:
                try:
                    answer = _ranking(client)
                except ServingError:
                    time.sleep(0.02)
                    continue
                expected = expected or answer
                assert answer == expected
                found["answers"] += 1
                if number < 0:
                    usual = time.perf_counter() - began
                    break
                version += 1  # the next version appears, and the one before is unloaded and removed
                shutil.copytree(output / f"{version - 1}", tmp_path / "copy")
                (tmp_path / "copy").rename(output / f"{version}")
                shutil.rmtree(output / f"{version - 1}")
                time.sleep(max(0.0, min(0.2, kill_at - time.perf_counter())))
        os.kill(process, signal.SIGKILL)
        assert commands.end() == -signal.SIGKILL, commands.printed()
        found["killed while it served" if version > 1 else "killed while it loaded"] += number >= 0
        assert _names(output) == [f"{version}"]
        assert _digest(output / f"{version}") == whole
        assert _names(output.parent) == ["recommender"]
        (output / f"{version}").rename(output / "1")
        if number % 5 == 4 or number == KILLS - 1:  # the next one serves, and ends as it should
            _serves_again(commands, command, port, expected)
            found["then served and ended with 0"] += 1
    print(f"\ntfdvbpr-serve: {KILLS} kills within {3 * usual:.2f} s, ready after {usual:.2f} s: {dict(found)}")


def _serves_again(commands: Commands, command: Arguments, port: int, expected: object) -> None:
    process = commands.start(*command)
    deadline = time.perf_counter() + 120
    with Client(f"127.0.0.1:{port}", timeout_seconds=5) as client:
        while True:
            try:
                assert _ranking(client) == expected
                break
            except ServingError:
                assert time.perf_counter() < deadline, commands.printed()
                time.sleep(0.05)
    os.kill(process, signal.SIGTERM)
    assert commands.end() == 0, commands.printed()
