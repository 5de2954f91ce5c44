"""Exports from Python: `tfdvbpr-export` in a process of its own, for TensorFlow Recommenders needs Keras 2 there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tfdvbpr.errors import RunError, TfdvbprError
from tfdvbpr.run import GanRun, Run

_MENDABLE = 2


def export_recommender(run: Run | Path | str, output: Path | str, **options: str | int) -> Path:
    """Writes a run as the next version of a served recommender; see `tfdvbpr-export recommender --help`.

    Args:
        run: a recommender run or its folder.
        output: the model's base path.
        **options: of the command, with underscores: `retrieval="scann"`, `quantize="int8"`, `max_k=100`, `keep=3`.

    Returns:
        The version folder.

    Raises:
        TfdvbprError: with the command's message, for what the caller can mend.
        RunError: if the export failed for another reason.

    Example:
        >>> tfdvbpr.export_recommender("runs/dvbpr", "models/recommender", keep=3)  # doctest: +SKIP
        PosixPath('models/recommender/1')
    """
    return _export("recommender", [_path(run), "--output", str(output)], options, Path(output))


def export_designer(run: Run | Path | str, gan_run: GanRun | Path | str, output: Path | str, **options: float) -> Path:
    """Writes a run and a GAN run as the next version of a served designer; see `tfdvbpr-export designer --help`.

    Args:
        run: a recommender run that learns from pixels, or its folder.
        gan_run: a GAN run or its folder.
        output: the model's base path.
        **options: of the command, with underscores: `starts=8`, `steps=40`, `learning_rate=0.1`, `keep=3`.

    Returns:
        The version folder.

    Raises:
        TfdvbprError: with the command's message, for what the caller can mend.
        RunError: if the export failed for another reason.

    Example:
        >>> tfdvbpr.export_designer("runs/dvbpr", "runs/gan", "models/designer", starts=8)  # doctest: +SKIP
        PosixPath('models/designer/1')
    """
    arguments = [_path(run), "--gan", _path(gan_run), "--output", str(output)]
    return _export("designer", arguments, options, Path(output))


def _path(run: Run | GanRun | Path | str) -> str:
    return str(run if isinstance(run, Path | str) else run.path)


def _export(kind: str, arguments: list[str], options: Mapping[str, str | float], output: Path) -> Path:
    for name, value in options.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    command = [sys.executable, "-m", "tfdvbpr_export.cli", kind, *arguments]
    # The process gets the import path of this one.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        message = (done.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("tfdvbpr-export: ")
        if done.returncode == _MENDABLE:
            raise TfdvbprError(message)
        raise RunError(f"Exporting the {kind} failed: {message}")
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("Wrote version "):
            return output / line.split()[2]
    raise RunError(f"tfdvbpr-export must name the version it wrote. It wrote {done.stdout[-200:]!r}. Try the command.")
