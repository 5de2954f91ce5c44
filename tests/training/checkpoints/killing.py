"""Kills trainings at random moments and lets them go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tfdvbpr.run import GanRun, Run

HERE = Path(__file__).parent
_PATIENCE_SECONDS = 300.0


@dataclass
class Kills:
    """What was killed where.

    Attributes:
        before: no checkpoint was there yet.
        steps: steps that the newest checkpoint had seen, a number a kill.
        within_write: kills that left an unfinished checkpoint behind.
        seconds: of each kill, after the process began.
    """

    before: int = 0
    steps: list[int] = field(default_factory=list)
    within_write: int = 0
    seconds: list[float] = field(default_factory=list)


class Trainings:
    """A process that trains for some epochs on a dataset, again and again, in children that may be killed."""

    def __init__(self, dataset: Path, *, epochs: int) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
        paths = os.pathsep.join([str(HERE.parents[1]), *(path for path in sys.path if path)])
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "killed_script.py"), str(dataset), str(epochs)],
            env={**environment, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, model: str, output: Path) -> int:
        """Begins or goes on; returns the number of the process that trains."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{model} {output}\n")
        self._process.stdin.flush()
        return int(self._line())

    def end(self) -> int:
        """Waits for the training's end; its exit code, negative for the signal that killed it."""
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def kill_and_resume(trainings: Trainings, model: str, output: Path, *, kills: int, seed: int, longest: float) -> Kills:
    """Kills a training so many times at random moments, half of them within a checkpoint's write, and lets it end.

    Args:
        trainings: made with the dataset.
        model: a recommender or "gan".
        output: the run folder to make.
        kills: how often.
        seed: of the times.
        longest: of the kills at any time, the most seconds after the start; less than a training takes.
    """
    random = np.random.default_rng(seed)
    folder = output.parent / f".{output.name}.training"
    killed = Kills()
    for number in range(kills):
        child = trainings.start(model, output)
        began = time.perf_counter()
        if number % 4 == 0:  # whenever it may be, the start included
            time.sleep(float(random.uniform(0.1, longest)))
        else:  # after a few writes: in the next one, or some time after it
            _wait_for_writes(folder / f".step-{child}.npz", int(random.integers(1, 4)))
            time.sleep(float(random.uniform(0.0, 0.1)) if number % 2 == 0 else 0.0)
        os.kill(child, signal.SIGKILL)
        assert trainings.end() == -signal.SIGKILL, "the training ended before it was killed; give it more steps"
        killed.seconds.append(round(time.perf_counter() - began, 2))
        killed.within_write += (folder / f".step-{child}.npz").exists()
        steps = [int(path.name.split("-")[1]) for path in folder.glob("step-*")]
        killed.before += not steps
        killed.steps.append(max(steps, default=0))
    trainings.start(model, output)
    assert trainings.end() == 0
    return killed


def _wait_for_writes(unfinished: Path, writes: int) -> None:
    """Until an unfinished checkpoint of the process is seen for the so manieth time."""
    seen, there = 0, False
    deadline = time.perf_counter() + _PATIENCE_SECONDS
    while seen < writes and time.perf_counter() < deadline:
        now = unfinished.exists()
        seen += now and not there
        there = now


def weights(run: Path, model: str) -> list[npt.NDArray[np.float32]]:
    """Every array that a run holds."""
    if model == "gan":
        gan = GanRun.open(run)
        return [*gan.generator.get_weights(), *gan.discriminator.get_weights()]
    recommender = Run.open(run)
    factors = recommender.factors
    return [*recommender.recommender.get_weights(), factors.user_embeddings, factors.item_embeddings]
