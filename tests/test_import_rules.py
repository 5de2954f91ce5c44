"""Who may import whom: docs and ARCHITECTURE say it, this holds every module against it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "tfdvbpr", ROOT / "export" / "tfdvbpr_export", ROOT / "serving" / "tfdvbpr_serving")
LEAVES = {
    "errors",
    "suggestions",
    "text",
    "fonts",
    "terminal",
    "child",
    "arrays",
    "files",
    "pickles",
    "registry",
    "_version",
    "signatures",
}
STAGES = {"data", "models", "losses", "run", "config", "training", "evaluation", "designing"}
TOP = {"api", "cli", "demo", "reporting"}
TEXT = {"text", "terminal"}

MAY_IMPORT: dict[str, set[str]] = {
    "signatures": set(),
    "errors": {"suggestions"},
    "suggestions": set(),
    "text": set(),
    "terminal": {"text"},
    "fonts": {"text"},
    "files": {"errors", "text"},
    "arrays": set(),
    "child": {"errors"},
    "pickles": {"errors"},
    "registry": {"errors"},
    "_version": set(),
    "config": set(),
    "losses": set(),
    "data": {"config"},
    "models": {"config", "data", "losses"},
    "run": {"config", "data", "models"},
    "training": {"config", "data", "models", "losses", "run"},
    "evaluation": {"config", "data", "models", "losses", "run", "designing"},
    "designing": {"config", "data", "models", "losses", "run"},
    "reporting": STAGES - {"training"},
    "api": STAGES | {"reporting"},
    "cli": STAGES | TOP,
    "demo": STAGES | TOP,
    "tfdvbpr": STAGES | {"api"},
}
EXPORT_MAY_IMPORT = {"signatures", "run", "models", "designing", "data", "errors", "files", "_version", *TEXT}
SERVING_MAY_IMPORT = {"signatures", "_version", *TEXT}
# The other two stages are started by the demo and the command line, and by nothing else in tfdvbpr.
MAY_START_STAGES = {"cli", "demo"}

Import = tuple[str, int]


def _modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in package.rglob("*.py"))


def _imports(path: Path) -> list[Import]:
    """Dotted names a module imports anywhere in its text, with line numbers; `from a import b` gives a.b."""
    found: list[Import] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def _package(path: Path) -> str:
    return next(package.name for package in PACKAGES if path.is_relative_to(package))


def _room(path: Path) -> str:
    """The folder or module directly below its package; the package's own name for its __init__."""
    package = next(package for package in PACKAGES if path.is_relative_to(package))
    first = path.relative_to(package).parts[0].removesuffix(".py")
    return package.name if first == "__init__" else first


def _complaints(path: Path) -> list[str]:
    package, room = _package(path), _room(path)
    complaints = []
    for name, line in _imports(path):
        top, _, rest = name.partition(".")
        target = rest.split(".")[0]
        if top in ("tfdvbpr_export", "tfdvbpr_serving"):
            allowed = top == package or (package == "tfdvbpr" and room in MAY_START_STAGES)
        elif top != "tfdvbpr":
            allowed = True
        elif package == "tfdvbpr_export":
            allowed = target in EXPORT_MAY_IMPORT
        elif package == "tfdvbpr_serving":
            allowed = target in SERVING_MAY_IMPORT
        else:
            allowed = target == room or (target in LEAVES and room not in LEAVES) or target in MAY_IMPORT[room]
        if not allowed:
            complaints.append(f"{path.relative_to(ROOT)}:{line} must not import {name}")
    return complaints


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_table(path: Path) -> None:
    assert _complaints(path) == []


def test_the_table_covers_every_room_and_no_other() -> None:
    rooms = {_room(path) for path in _modules() if _package(path) == "tfdvbpr"}
    assert rooms - set(MAY_IMPORT) == set()


def test_a_wrong_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule itself is tried on modules that break it."""
    package = tmp_path / "tfdvbpr"
    (package / "training").mkdir(parents=True)
    module = package / "training" / "bad.py"
    module.write_text(
        "import tfdvbpr.evaluation.ranking.metrics\nfrom tfdvbpr import designing\n\n"
        "def later():\n    from tfdvbpr.evaluation import evaluate\n    import tfdvbpr_serving.client\n"
        "from tfdvbpr.data.batches.ranking import Batch\nfrom tfdvbpr.errors import RunError\n"
    )
    monkeypatch.setitem(globals(), "PACKAGES", (package,))
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert [complaint.split(" ")[0] for complaint in _complaints(module)] == [
        f"tfdvbpr/training/bad.py:{line}" for line in (1, 2, 5, 6)
    ]


def test_one_keras() -> None:
    """`tf.keras` would be another Keras as soon as TF_USE_LEGACY_KERAS is set."""
    for path in _modules():
        names = [name for name, _ in _imports(path)]
        assert not any(name.startswith("tensorflow.keras") for name in names), path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == "keras" and isinstance(node.value, ast.Name):
                assert node.value.id not in ("tf", "tensorflow"), f"{path}:{node.lineno}"


def test_recommenders_library_lives_in_the_export_process() -> None:
    users = {_package(path) for path in _modules() for name, _ in _imports(path) if "tensorflow_recommenders" in name}
    assert users <= {"tfdvbpr_export"}


def test_the_only_strategy_run_is_in_the_loop() -> None:
    calls = []
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("strategy.run"):
                calls.append(str(path.relative_to(ROOT)))
    assert calls == ["tfdvbpr/training/engine/loop.py"]


def test_the_client_needs_no_tensorflow() -> None:
    """Follows the client's imports through its own package."""
    package = ROOT / "serving" / "tfdvbpr_serving"
    waiting, seen = [package / "client" / "client.py", package / "__init__.py"], set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        for name, line in _imports(path):
            top = name.split(".")[0]
            assert top not in ("tensorflow", "tensorflow_serving", "keras"), f"{path}:{line}"
            if top == "tfdvbpr_serving":
                for parts in (name.split(".")[1:-1], name.split(".")[1:]):
                    module = package.joinpath(*parts).with_suffix(".py")
                    if module.is_file() and module not in seen:
                        waiting.append(module)
    assert len(seen) > 3


@pytest.mark.parametrize("program", ["tfdvbpr.cli", "tfdvbpr_export.cli", "tfdvbpr_serving.cli"])
def test_a_program_loads_tensorflow_when_a_command_needs_it(program: str) -> None:
    """Its help takes a second, not seven, and TensorFlow's first lines are silenced before they are printed."""
    code = f"import sys, {program}; print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_no_two_test_files_share_a_name() -> None:
    """The folders of tests are no packages, so pytest would refuse the second of them."""
    names = [path.name for path in sorted((ROOT / "tests").rglob("*.py")) if path.name != "conftest.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []
