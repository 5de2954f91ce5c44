"""From run folders to served models, each export in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tfdvbpr.errors import RunError, TfdvbprError

_MENDABLE = 2


def export_recommender(run: Any, output: Path | str, **options: Any) -> Path:
    """Writes a run as the next version of a served recommender; see `tfdvbpr-export recommender --help`.

    It runs in a process of its own: TensorFlow Recommenders needs Keras 2 there, which would unsettle this one.

    Args:
        run: a recommender run or its folder.
        output: the model's base path, such as `models/recommender`.
        **options: of the command, with underscores: `retrieval="scann"`, `quantize="int8"`, `version="timestamp"`,
            `keep=3`, ...

    Returns:
        The version folder.

    Raises:
        TfdvbprError: with the command's own words, for what the caller can mend.
        RunError: if the export failed for another reason.
    """
    return _export("recommender", [_path(run), "--output", str(output)], options, Path(output))


def export_designer(run: Any, gan_run: Any, output: Path | str, **options: Any) -> Path:
    """Writes a run and a GAN run as the next version of a served designer; see `tfdvbpr-export designer --help`.

    Args:
        run: a recommender run that learns from pixels, or its folder.
        gan_run: a GAN run or its folder.
        output: the model's base path, such as `models/designer`.
        **options: of the command, with underscores: `starts=8`, `steps=40`, `max_steps=100`, `keep=3`, ...

    Returns:
        The version folder.

    Raises:
        TfdvbprError: with the command's own words, for what the caller can mend.
        RunError: if the export failed for another reason.
    """
    arguments = [_path(run), "--gan", _path(gan_run), "--output", str(output)]
    return _export("designer", arguments, options, Path(output))


def _path(run: Any) -> str:
    return str(getattr(run, "path", run))


def _export(kind: str, arguments: list[str], options: dict[str, Any], output: Path) -> Path:
    for name, value in options.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    command = [sys.executable, "-m", "tfdvbpr_export.cli", kind, *arguments]
    # What this process can import, that one must be able to.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("tfdvbpr-export: ")
        if done.returncode == _MENDABLE:
            raise TfdvbprError(said)
        raise RunError(f"Exporting the {kind} failed: {said}")
    return _written(done.stdout, output)


def _written(said: str, output: Path) -> Path:
    """The version folder that the command names last."""
    for line in reversed(said.splitlines()):
        if line.startswith("Wrote version "):
            return output / line.split()[2]
    raise RunError(f"tfdvbpr-export must name the version it wrote. It said: {said[-200:]!r}. Try the command itself.")
