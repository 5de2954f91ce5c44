"""A full disk at every write: a tmpfs that has room for one page more each time, and for one name more.

Each command must end with one line and exit code 2 and leave nothing half; every fourth time the same command goes on
with what is left, once there is room.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Commands, can_mount
from tiny_data import checkerboard

from tfdvbpr.data.dataset import PreparedDataset

PAGE = 4096
MOST_SIZES = 60
SLOW_SIZES = 24  # of commands that take half a minute
_ROOM = 256 << 20

pytestmark = pytest.mark.skipif(not can_mount(), reason="needs a namespace in which it may mount a tmpfs")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return checkerboard(tmp_path_factory.mktemp("data"))


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(tmp_path / "log", mounts=True)
    yield commands
    commands.close()


def _used(folder: Path) -> tuple[int, int]:
    """Bytes in whole pages, and names, that a tree takes."""
    found = [folder, *folder.rglob("*")]
    pages = sum(-(-path.stat().st_size // PAGE) for path in found if path.is_file())
    return pages * PAGE, len(found)


def _sweep(commands: Commands, mounted: Path, program: str, *arguments: object, sizes: int = MOST_SIZES) -> None:
    """Runs a command, which writes `mounted`/output/made, with more room each time until it does not fail any more.

    `sizes` steps lead to what it leaves at its end.
    """
    disk = commands.mount(mounted, size=_ROOM)
    output = disk / "output"
    command = (program, *arguments, "--output", mounted / "output" / "made")
    output.mkdir()
    assert commands.run(*command) == 0, commands.printed()
    size, names = _used(output)
    whole = sorted(path.relative_to(output) for path in output.rglob("*"))
    shutil.rmtree(output)
    # Training takes more for its checkpoints than is left at its end, so that room grows until nothing fails.
    step = max(PAGE, size // sizes // PAGE * PAGE)
    print(f"\n{program} {arguments[0]} leaves {size:,} bytes and {names} names.", flush=True)
    found: Counter[str] = Counter()
    for kind, start, grows in (("bytes", PAGE, step), ("names", 3, 1)):
        room, ended = start, False
        while not ended:
            limits = {"size": room} if kind == "bytes" else {"size": _ROOM, "inodes": room}
            commands.mount(mounted, **limits)
            output.mkdir()
            code, printed = commands.run(*command), commands.printed()
            print(f"Room for {room:,} {kind}: exit code {code}", flush=True)
            ended = ran = code == 0
            if not ended:
                lines = [line for line in printed.splitlines() if line.startswith(f"{program}: ")]
                assert code == 2, (kind, room, code, printed[-2000:])
                assert "Make room and repeat" in lines[-1], (kind, room, printed[-2000:])
                assert "Traceback" not in printed
                left = sorted(path.name for path in output.iterdir() if path.name not in (".made.training", "made"))
                assert left == [], (kind, room)
                assert not (output / "made").exists() or not any((output / "made").iterdir()), (kind, room)
                found[f"failed by {kind}"] += 1
                if found[f"failed by {kind}"] % 4 == 1:
                    commands.mount(mounted, size=_ROOM)
                    assert commands.run(*command) == 0, commands.printed()
                    found["then ran to its end"] += 1
                    ran = True
            if ran:
                assert sorted(path.relative_to(output) for path in output.rglob("*")) == whole, (kind, room)
            shutil.rmtree(output)
            room += grows
    print(f"\n{program} {arguments[0]}: {size:,} bytes, {names} names, {step:,} bytes more each time: {dict(found)}")
    assert found["failed by bytes"] > 5
    assert found["failed by names"] > 2


def _disk(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def test_prepare(commands: Commands, dataset: PreparedDataset, tmp_path: Path) -> None:
    source = dataset.path.parent / "source"
    _sweep(commands, _disk(tmp_path), "tfdvbpr", "prepare", source, "--image-size", "32x32")


@pytest.mark.parametrize("model", ["popularity", "dvbpr"])
def test_train(commands: Commands, dataset: PreparedDataset, tmp_path: Path, model: str) -> None:
    settings = ("epochs=2", "embedding_dim=4", "global_batch_size=24", "checkpoint_steps=1") if model == "dvbpr" else ()
    options = [each for setting in settings for each in ("--set", setting)]
    _sweep(commands, _disk(tmp_path), "tfdvbpr", "train", dataset.path, "--model", model, *options)


_GAN = ("epochs=1", "latent_dim=4", "base_channels=4", "discriminator_channels=4", "min_category_images=1")


def _gan(*settings: str) -> list[str]:
    return [each for setting in (*_GAN, *settings) for each in ("--set", setting)]


def test_train_gan(commands: Commands, dataset: PreparedDataset, tmp_path: Path) -> None:
    options = _gan("global_batch_size=16", "checkpoint_steps=1")
    _sweep(commands, _disk(tmp_path), "tfdvbpr", "train-gan", dataset.path, *options, sizes=SLOW_SIZES)


@pytest.mark.parametrize("model", ["popularity", "dvbpr"])
def test_export(commands: Commands, dataset: PreparedDataset, tmp_path: Path, model: str) -> None:
    """Of DVBPR also the designer."""
    run, gan = tmp_path / "run", tmp_path / "gan"
    options = ("--set", "epochs=1", "--set", "embedding_dim=4") if model == "dvbpr" else ()
    made = commands.run("tfdvbpr", "train", dataset.path, "--output", run, "--model", model, *options)
    assert made == 0, commands.printed()
    disk = _disk(tmp_path)
    _sweep(commands, disk, "tfdvbpr-export", "recommender", run)
    if model == "dvbpr":
        assert commands.run("tfdvbpr", "train-gan", dataset.path, "--output", gan, *_gan()) == 0, commands.printed()
        small = ("--starts", 2, "--steps", 2)
        _sweep(commands, disk, "tfdvbpr-export", "designer", run, "--gan", gan, *small, sizes=SLOW_SIZES)
