"""Checks that a version is fit to be served: the sizes of its files, and its answers in a clean process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export.versions import EXTRA, RECORDED_NAME, read_manifest, version_at

TOLERANCE, PIXEL_TOLERANCE = 1e-5, 1
_SCRIPT = Path(__file__).with_name("validation_script.py")
_OP_MODULES = {"Scann": "scann.scann_ops.py.scann_ops"}
_MOST_GRAPH_BYTES = 2 << 30


@dataclass(frozen=True)
class SignatureReport:
    """The result of one signature.

    Attributes:
        requests: recorded ones that were repeated.
        difference: the largest between an answer and the recorded one, relative to the largest number where above 1.
        refused: hostile requests that were refused as such.
        answered: hostile requests that got an answer with flags.
        p50_ms: median time of the first recorded request, in the process, without a server.
        p99_ms: the 99th percentile.
    """

    requests: int
    difference: float
    refused: int
    answered: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Validation:
    """The result of `validate`.

    Attributes:
        folder: the version folder.
        num_bytes: of all its files.
        load_seconds: of the SavedModel, in the clean process.
        signatures: by name.
        problems: a sentence each; none where the version is fit to be served.
    """

    folder: Path
    num_bytes: int
    load_seconds: float
    signatures: Mapping[str, SignatureReport]
    problems: tuple[str, ...]

    @property
    def fit(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def validate(path: Path | str, *, latency_seconds: float = 2.0, timeout_seconds: float = 1800.0) -> Validation:
    """Loads a version in a process without Keras and this project, and sends it the recorded and hostile requests.

    Args:
        path: a version folder, or the newest below a base path.
        latency_seconds: how long each signature is timed, 3 calls at least.
        timeout_seconds: for the whole process.

    Raises:
        ConfigError: if there is no version, or it was not written by tfdvbpr-export.
    """
    folder = version_at(Path(path))
    manifest = read_manifest(folder)
    problems = _file_problems(folder, manifest["files"])
    unknown = sorted(set(manifest["signatures"]) - set(SIGNATURES))
    problems += [f"{name}: no signature of this release" for name in unknown]
    report = _failed(*problems) if problems else _checked(folder, manifest, latency_seconds, timeout_seconds)
    num_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    signatures = {name: SignatureReport(**values) for name, values in report["signatures"].items()}
    return Validation(folder, num_bytes, report["load_seconds"], signatures, tuple(report["problems"]))


def _file_problems(folder: Path, sizes: Mapping[str, int]) -> list[str]:
    problems = []
    for name, size in sizes.items():
        file = folder / name
        found = file.stat().st_size if file.is_file() else None
        if found != size:
            problems.append(f"{name}: {'missing' if found is None else f'{found} bytes'} instead of {size} bytes")
    if sizes["saved_model.pb"] >= _MOST_GRAPH_BYTES:
        problems.append("saved_model.pb: 2 GB or more, which protocol buffers cannot hold")
    return problems


def _checked(
    folder: Path, manifest: Mapping[str, Any], latency_seconds: float, timeout_seconds: float
) -> dict[str, Any]:
    """The report of the clean process."""
    options = {
        "signatures": list(manifest["signatures"]),
        "tolerance": TOLERANCE,
        "pixel_tolerance": PIXEL_TOLERANCE,
        "latency_seconds": latency_seconds,
        "max_steps": manifest["options"].get("max_steps", 0),
        "op_modules": [_OP_MODULES[name] for name in manifest.get("retrieval", {}).get("needs", [])],
    }
    with TemporaryDirectory() as scratch:
        options_path, report_path = Path(scratch) / "options.json", Path(scratch) / "report.json"
        options_path.write_text(json.dumps(options), encoding="utf-8")
        paths = (folder.resolve(), folder.resolve() / EXTRA / RECORDED_NAME, options_path, report_path)
        # -I: Python reads neither PYTHONPATH nor the current folder.
        command = [sys.executable, "-I", str(_SCRIPT), *map(str, paths)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
        try:
            done = subprocess.run(
                command,
                cwd=scratch,
                env=environment,
                capture_output=True,
                text=True,
                timeout=timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _failed(f"the clean process did not finish within {timeout_seconds:g} s")
        if done.returncode or not report_path.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return _failed(f"the clean process ended with code {done.returncode}: {last}")
        report: dict[str, Any] = json.loads(report_path.read_text(encoding="utf-8"))
        return report


def _failed(*problems: str) -> dict[str, Any]:
    return {"signatures": {}, "problems": list(problems), "load_seconds": 0.0}
