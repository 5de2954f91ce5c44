from __future__ import annotations

import dataclasses
import errno
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_helpers import loaded
from tiny_data import RED, RunOf, encoded, noisy_picture, write_source

import tfdvbpr
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.errors import TfdvbprError
from tfdvbpr.run import GanRun, Run
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export import RecommenderOptions, ScannOptions, cli, read_manifest


def _call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Calls the entry point; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["tfdvbpr-export", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    code = stopped.value.code
    assert code is None or isinstance(code, int)
    return code or 0


def test_help_names_the_next_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call(monkeypatch, "--help") == 0
    text = capsys.readouterr().out
    assert "recommender" in text
    assert "designer" in text
    assert "tfdvbpr-serve" in text
    for command in ("recommender", "designer"):
        assert _call(monkeypatch, command, "--help") == 0
        assert f"Example: tfdvbpr-export {command} runs/dvbpr" in " ".join(capsys.readouterr().out.split())


def _recorded(monkeypatch: pytest.MonkeyPatch, name: str, folder: Path) -> dict[str, Any]:
    """Replaces an export by one that was made already; the values it was called with."""
    calls: dict[str, Any] = {}

    def export(*paths: Path, **values: Any) -> Path:
        calls.update(values, paths=paths)
        return folder

    monkeypatch.setattr(f"tfdvbpr_export.{name}", export)
    return calls


def test_recommender(
    recommender_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = _recorded(monkeypatch, "recommender.heads.export_recommender", recommender_folder)
    options = ("--retrieval", "scann", "--scann-leaves-to-search", 4, "--quantize", "int8", "--max-k", 7, "--keep", 3)
    assert _call(monkeypatch, "recommender", tmp_path / "run", "--output", tmp_path / "m", *options) == 0
    assert calls == {
        "paths": (tmp_path / "run", tmp_path / "m"),
        "options": RecommenderOptions("scann", "int8", ScannOptions(num_leaves_to_search=4), 7),
        "keep": 3,
    }
    text = capsys.readouterr().out
    for part in ("recommend", "score", "embed_images", "user_ids string [B]", "known_items bool [B, ?]"):
        assert part in text
    assert f"Wrote version 1 of the recommender to {recommender_folder}." in text
    assert f"tfdvbpr-export validate {recommender_folder}" in text
    assert f"tfdvbpr-serve {recommender_folder.parent}" in text


def test_designer(
    designer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = _recorded(monkeypatch, "designer.heads.export_designer", designer_folder)
    options = ("--starts", 2, "--steps", 1, "--learning-rate", 0.1, "--candidates", 5)
    arguments = ("designer", tmp_path / "run", "--gan", tmp_path / "gan", "--output", tmp_path / "m")
    assert _call(monkeypatch, *arguments, *options) == 0
    assert calls == {
        "paths": (tmp_path / "run", tmp_path / "gan", tmp_path / "m"),
        "options": DesignOptions(num_candidates=5, num_starts=2, num_steps=1, learning_rate=0.1),
        "keep": None,
    }
    assert "nearest_item_ids string [B, ?, 3]" in capsys.readouterr().out
    assert _call(monkeypatch, *arguments, "--learning-rate", -1) == 2
    assert "`learning_rate` must be above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [("recommender", "{empty}", "--output", "{empty}/m"), ("recommender", "{gan}", "--output", "{empty}/m")],
)
def test_errors_that_the_user_can_mend(
    arguments: tuple[str, ...],
    tiny_gan_run: GanRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [text.format(empty=tmp_path, gan=tiny_gan_run.path) for text in arguments]
    assert _call(monkeypatch, *filled) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("tfdvbpr-export: ")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 2, "Make room and repeat it."),
        (KeyError("row"), 1, "KeyError: 'row' (TFDVBPR_TRACEBACK=1 shows where)"),
    ],
)
def test_errors_of_any_kind_are_one_line(
    tiny_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    line: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("tfdvbpr_export.recommender.heads.write_version", fail)
    assert _call(monkeypatch, "recommender", tiny_run.path, "--output", tmp_path / "m") == code
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("tfdvbpr-export: ")
    assert last.endswith(line)


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.strip() == tfdvbpr.__version__


def test_an_unknown_option(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _call(monkeypatch, "recommender", "runs", "--outputs", "m") == 2


def test_the_options_have_the_librarys_defaults() -> None:
    names = {"num_starts": "starts", "num_steps": "steps"}
    offered = inspect.signature(cli.designer).parameters
    for field in dataclasses.fields(DesignOptions):
        name = names.get(field.name, field.name)
        assert name not in offered or offered[name].default == field.default
    offered = inspect.signature(cli.recommender).parameters
    for field in dataclasses.fields(RecommenderOptions):
        assert field.name in ("scann", "filters") or offered[field.name].default == field.default


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--retrieval", "guess"), "guess"),
        (("--keep", "0"), "--keep"),
    ],
)
def test_options_out_of_range(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _call(monkeypatch, "recommender", tmp_path, "--output", tmp_path / "m", *arguments) == 2
    assert message in capsys.readouterr().err


def test_inspect_shows_every_signature_without_tensorflow(recommender_folder: Path) -> None:
    script = (
        "import sys\nfrom tfdvbpr_export import cli\n"
        f"sys.argv = ['tfdvbpr-export', 'inspect', {str(recommender_folder.parent)!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as stopped:\n    assert not stopped.code\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "COLUMNS": "160"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in (*read_manifest(recommender_folder)["signatures"], "serving_default"):
        assert name in done.stdout
    assert "exclude_item_ids string [B, ?]" in done.stdout
    assert "written by TensorFlow 2.20" in done.stdout


def test_new_items_without_training(
    tiny_run: Run,
    recommender_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    new = write_source(tmp_path / "new", [("n0", "shirt", encoded(noisy_picture(RED, (32, 32), 99)))], [])
    (new / "interactions.csv").unlink()
    output = tmp_path / "models" / "recommender"
    first = Path(shutil.copytree(recommender_folder, output / "1")) / "assets.extra" / "tfdvbpr.json"
    values = json.loads(first.read_text())
    values["options"] |= {"max_k": 7, "quantize": "bfloat16"}
    first.write_text(json.dumps(values))
    few = {name: SIGNATURES[name] for name in ("recommend", "score")}  # tracing takes seconds
    monkeypatch.setattr("tfdvbpr_export.recommender.heads.SIGNATURES", few)
    arguments = ("update-items", tiny_run.path, new, "--new-run", tmp_path / "larger", "--output", output, "--keep", 1)
    assert _call(monkeypatch, *arguments, "--dataset", tiny_run.manifest.dataset_path) == 0
    assert "Wrote version 2 of the recommender" in capsys.readouterr().out
    assert not (output / "1").exists()
    served = loaded(output / "2")
    answer = served("recommend", user_ids=["u0"], k=[99], exclude_seen=[False])
    assert answer["counts"].tolist() == [7]
    larger = Run.open(tmp_path / "larger")
    scored = served("score", user_ids=["u0", "u1"], item_ids=[["n0", "i3"]] * 2)
    assert scored["known_items"].all()
    np.testing.assert_allclose(scored["scores"], larger.score(["u0", "u1"], ["n0", "i3"]), atol=1e-2)
    assert read_manifest(output)["retrieval"]["quantize"] == "bfloat16"


def test_the_python_function_starts_a_process(run_of: RunOf, tmp_path: Path) -> None:
    run = run_of("bpr-mf")
    folder = tfdvbpr.export_recommender(run, tmp_path / "models", max_k=5)
    assert folder == tmp_path / "models" / "1"
    assert "max_k: 5" in (folder / "assets.extra" / "model_card.md").read_text()
    # The layer of TensorFlow Recommenders is in there, and this project's own product is not.
    served = loaded(folder)
    names = [variable.name for variable in served.model.signatures["recommend"].variables]
    assert any("candidates" in name or "brute_force" in name for name in names)
    with pytest.raises(TfdvbprError, match="Received the file"):
        tfdvbpr.export_recommender(run.path, folder / "saved_model.pb")
    with pytest.raises(TfdvbprError, match="tfdvbpr train DATASET"):
        tfdvbpr.export_recommender(tmp_path / "no", tmp_path / "models")
