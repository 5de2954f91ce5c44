from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from pathlib import Path

import pytest

from tfdvbpr.design.maximize import DesignOptions
from tfdvbpr.run import GanRun, Run
from tfdvbpr_export import cli


def _call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Calls the entry point; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["tfdvbpr-export", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    code = stopped.value.code
    assert code is None or isinstance(code, int)
    return code or 0


def test_help_teaches(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call(monkeypatch, "--help") == 0
    text = capsys.readouterr().out
    assert "recommender" in text
    assert "designer" in text
    assert "tfdvbpr-serve" in text
    for command in ("recommender", "designer"):
        assert _call(monkeypatch, command, "--help") == 0
        assert f"Example: tfdvbpr-export {command} runs/dvbpr" in " ".join(capsys.readouterr().out.split())


def test_recommender(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "models" / "recommender"
    assert _call(monkeypatch, "recommender", tiny_run.path, "--output", output) == 0
    text = capsys.readouterr().out
    assert str(output / "1") in text
    for told in ("recommend", "score", "embed_images", "user_ids string [B]", "known_items bool [B, ?]"):
        assert told in text
    assert (output / "1" / "saved_model.pb").is_file()
    assert _call(monkeypatch, "recommender", tiny_run.path, "--output", output, "--version", 1) == 2
    error = capsys.readouterr().err
    assert error.startswith("tfdvbpr-export: `version` must be new.")
    assert error.count("\n") == 1
    assert [path.name for path in output.iterdir()] == ["1"]


def test_designer(
    tiny_run: Run,
    tiny_gan_run: GanRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ("--starts", 2, "--steps", 1, "--learning-rate", 0.1, "--realism-weight", 0)
    arguments = ("designer", tiny_run.path, "--gan", tiny_gan_run.path, "--output", tmp_path / "designer")
    assert _call(monkeypatch, *arguments, "--version", 5, *options) == 0
    assert "[B, ?, ?, ?, 3]" in capsys.readouterr().out
    told = json.loads((tmp_path / "designer" / "5" / "assets.extra" / "tfdvbpr.json").read_text())
    assert told["options"] == {
        "num_starts": 2,
        "num_steps": 1,
        "learning_rate": 0.1,
        "initial_stddev": 0.5,
        "realism_weight": 0.0,
    }
    assert _call(monkeypatch, *arguments, "--learning-rate", -1) == 2
    assert "`learning_rate` must be above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [("recommender", "{empty}", "--output", "{empty}/m"), ("recommender", "{gan}", "--output", "{empty}/m")],
)
def test_what_the_user_can_mend(
    arguments: tuple[str, ...],
    tiny_gan_run: GanRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [text.format(empty=tmp_path, gan=tiny_gan_run.path) for text in arguments]
    assert _call(monkeypatch, *filled) == 2
    error = capsys.readouterr().err
    assert error.startswith("tfdvbpr-export: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_what_nobody_expected(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("tfdvbpr_export.recommender.write_version", full_disk)
    assert _call(monkeypatch, "recommender", tiny_run.path, "--output", tmp_path / "m") == 1
    assert "OSError: No space left on device (TFDVBPR_TRACEBACK=1 shows where)" in capsys.readouterr().err


def test_an_option_that_is_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _call(monkeypatch, "recommender", "runs", "--outputs", "m") == 2


def test_the_options_have_the_librarys_defaults() -> None:
    names = {"num_starts": "starts", "num_steps": "steps"}
    offered = inspect.signature(cli.designer).parameters
    for field in dataclasses.fields(DesignOptions):
        assert offered[names.get(field.name, field.name)].default == field.default
