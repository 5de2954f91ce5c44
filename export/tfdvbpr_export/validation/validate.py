"""Is a version fit to be served? Its files are counted, and a clean process asks it everything."""

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

from tfdvbpr.errors import ConfigError
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export.validation.inspecting import inspect_version
from tfdvbpr_export.versions import EXTRA, MANIFEST_NAME, version_at

RECORDED_NAME = "tfdvbpr_recorded_answers"
TOLERANCE, PIXEL_TOLERANCE = 1e-5, 1
_SCRIPT = Path(__file__).with_name("validation_script.py")
_OP_MODULES = {"Scann": "scann.scann_ops.py.scann_ops"}
_MOST_GRAPH_BYTES = 2 << 30


@dataclass(frozen=True)
class SignatureReport:
    """How a signature did.

    Attributes:
        requests: recorded ones that were asked again.
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
    """What `validate` found.

    Attributes:
        folder: the version folder.
        num_bytes: of all its files.
        load_seconds: until it could be asked.
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


def validate(
    path: Path | str,
    *,
    max_megabytes: float | None = None,
    max_latency_ms: float | None = None,
    latency_seconds: float = 2.0,
    timeout_seconds: float = 1800.0,
) -> Validation:
    """Loads a version in a process without Keras and this project, and asks it the recorded and hostile requests.

    Args:
        path: a version folder, or the newest below a base path.
        max_megabytes: of all files; more is a problem.
        max_latency_ms: of the median of any signature; more is a problem.
        latency_seconds: how long each signature is timed, 3 calls at least.
        timeout_seconds: for the whole process.

    Raises:
        ConfigError: if there is no version, or it was not written by tfdvbpr-export.
    """
    folder = version_at(Path(path))
    inspection = inspect_version(folder)
    manifest = _manifest(folder)
    problems = _file_problems(folder, manifest)
    problems += _signature_problems(set(inspection.signatures), manifest["signatures"])
    size = inspection.num_bytes / 1e6
    if max_megabytes is not None and size > max_megabytes:
        problems.append(f"its files are {size:.1f} MB, more than the {max_megabytes:g} MB allowed")
    report: dict[str, Any] = {"signatures": {}, "problems": [], "load_seconds": 0.0}
    if not problems:
        report = _asked(folder, manifest, latency_seconds, timeout_seconds)
    signatures = {name: _signature_report(told) for name, told in report["signatures"].items()}
    problems += report["problems"]
    if max_latency_ms is not None:
        problems += [
            f"{name}: {told.p50_ms:.1f} ms, more than the {max_latency_ms:g} ms allowed"
            for name, told in signatures.items()
            if told.p50_ms > max_latency_ms
        ]
    return Validation(folder, inspection.num_bytes, report["load_seconds"], signatures, tuple(problems))


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / EXTRA / MANIFEST_NAME
    if not path.is_file():
        raise ConfigError(f"PATH must be written by tfdvbpr-export. {folder} has no {EXTRA}/{MANIFEST_NAME}.")
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "files" not in told:
        raise ConfigError(
            f"PATH must hold recorded answers. {folder} was written by an older version. Export it again."
        )
    return told


def _file_problems(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    problems = []
    for name, size in manifest["files"].items():
        file = folder / name
        found = file.stat().st_size if file.is_file() else None
        if found != size:
            problems.append(f"{name}: {'missing' if found is None else f'{found} bytes'} instead of {size} bytes")
    graph = folder / "saved_model.pb"
    if graph.stat().st_size >= _MOST_GRAPH_BYTES:
        problems.append("saved_model.pb: 2 GB or more, which protocol buffers cannot hold")
    return problems


def _signature_problems(found: set[str], told: list[str]) -> list[str]:
    expected = {*told, "serving_default"}
    problems = [f"{name}: in the manifest but not in the model" for name in sorted(expected - found)]
    problems += [f"{name}: in the model but not in the manifest" for name in sorted(found - expected)]
    return problems + [f"{name}: no signature of this release" for name in sorted(set(told) - set(SIGNATURES))]


def _asked(folder: Path, manifest: Mapping[str, Any], latency_seconds: float, timeout_seconds: float) -> dict[str, Any]:
    """The report of the clean process."""
    needs = manifest.get("retrieval", {}).get("needs", [])
    options = {
        "tolerance": TOLERANCE,
        "pixel_tolerance": PIXEL_TOLERANCE,
        "latency_seconds": latency_seconds,
        "op_modules": [_OP_MODULES[name] for name in needs],
    }
    with TemporaryDirectory() as scratch:
        options_path, report_path = Path(scratch) / "options.json", Path(scratch) / "report.json"
        options_path.write_text(json.dumps(options), encoding="utf-8")
        paths = (folder.resolve(), folder.resolve() / EXTRA / RECORDED_NAME, options_path, report_path)
        # -I: neither PYTHONPATH nor the current folder is looked into.
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
            return _failed(f"it did not finish within {timeout_seconds:g} s")
        if done.returncode or not report_path.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return _failed(f"the clean process ended with code {done.returncode}: {last}")
        report: dict[str, Any] = json.loads(report_path.read_text(encoding="utf-8"))
        return report


def _failed(problem: str) -> dict[str, Any]:
    return {"signatures": {}, "problems": [problem], "load_seconds": 0.0}


def _signature_report(told: Mapping[str, Any]) -> SignatureReport:
    hostile = told["hostile"]
    return SignatureReport(
        requests=told["requests"],
        difference=told["difference"],
        refused=hostile["refused"],
        answered=hostile["answered"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
    )
