"""The command line: help, what commands print and leave, and log lines."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_calls import Call, complaint

import tfdvbpr
from tfdvbpr import cli
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders import RECOMMENDERS
from tfdvbpr.run import GanRun, Run

COMMANDS = (
    "prepare",
    "describe",
    "train",
    "train-gan",
    "launch",
    "evaluate",
    "compare",
    "experiment",
    "report",
    "evaluate-gan",
    "evaluate-designs",
    "evaluate-attributes",
    "recommend",
    "update-items",
    "explain",
    "design",
    "tailor",
    "interpolate",
    "generate",
    "demo",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(call: Call, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert call(command, "--help") == 0
    printed = capsys.readouterr().out
    assert "Example:" in printed
    assert f"tfdvbpr {command}" in printed


def test_help_lists_every_command(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    printed = capsys.readouterr().out
    assert all(f" {command} " in printed for command in COMMANDS)


def _result(call: Call, capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """What --json prints: one object, and nothing beside it."""
    capsys.readouterr()
    assert call(*arguments, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["json_version"], printed["tfdvbpr"], printed["command"]) == (1, tfdvbpr.__version__, arguments[0])
    return printed["result"]


def test_figures_as_json(
    call: Call, tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(tiny_run.path, tmp_path / "run"))
    dataset = tiny_run.manifest.dataset_path
    assert _result(call, capsys, "describe", dataset)["num_users"] == 8
    (row,) = _result(call, capsys, "evaluate", run)
    assert (row["run"], row["model"]) == ("run", "dvbpr")
    assert _result(call, capsys, "compare", run)["models"] == ["run (dvbpr)"]
    assert len(_result(call, capsys, "recommend", run, "--user", "u1", "--k", "3")["items"]) == 3
    explained = _result(call, capsys, "explain", run, "--user", "u1", "--item", "i2", "--output", tmp_path / "why.png")
    assert explained[0]["item_id"] == "i2"
    small = ("--set", "num_starts=2", "--set", "num_steps=2")
    request = ("--gan", tiny_gan_run.path, "--user", "u1", "--category", "shoe", "--output", tmp_path / "designs")
    assert len(_result(call, capsys, "design", run, *request, *small)["designs"]) == 2
    samples = _result(call, capsys, "generate", tiny_gan_run.path, "--count", 1, "--output", tmp_path / "samples")
    assert {each["category"] for each in samples} == {"shirt", "shoe"}
    trained = _result(call, capsys, "train", dataset, "--model", "popularity", "--output", tmp_path / "popularity")
    assert trained["model"] == "popularity"


def test_every_command_with_figures_has_json() -> None:
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    options = {name: [option for one in each.params for option in one.opts] for name, each in commands.items()}
    without = {name for name, known in options.items() if "--json" not in known}
    assert without == {"demo", "ensemble", "launch", "config"}, "which print no figures, or those of other commands"


def test_trainings_end_with_figures_and_the_next_command(
    call: Call, tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, small = tmp_path / "my run", ("--set", "epochs=1", "--set", "embedding_dim=4")
    assert call("train", tiny_run.manifest.dataset_path, "--output", output, *small) == 0
    printed = capsys.readouterr().out
    assert "validation auc" in printed
    assert f"  tfdvbpr evaluate '{output}'\n" in printed


def test_an_experiment_from_its_file(
    call: Call, checkerboard_dataset: PreparedDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = "models: [{name: visual, model: visrank}, {name: most bought, model: popularity}]"
    file = tmp_path / "shop.yaml"
    file.write_text(f"dataset: {checkerboard_dataset.path}\n{models}\n", encoding="utf-8")
    assert call("experiment", file, "--output", tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert "2/2 most bought seed 0: trained, validation auc" in printed.err
    assert "most bought" in printed.out
    assert (tmp_path / "out" / "report.md").is_file()
    assert (
        call(
            "evaluate",
            tmp_path / "out/runs/visual/base/seed-0",
            "--metric",
            "legacy_sampled_auc",
            "--metric",
            "hit_rate@3",
        )
        == 0
    )
    printed = capsys.readouterr()
    assert "legacy_sampled_auc" in printed.out
    assert "hit_rate@3" in printed.out
    file.write_text("dataset: d\nmodels: [{name: a, model: svd}]\n", encoding="utf-8")
    assert "Received 'svd'" in complaint(call, capsys, "experiment", file, "--output", tmp_path / "out")


def test_help_names_every_recommender(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", "--help") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in RECOMMENDERS)


def test_help_is_wrapped_by_the_terminal(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """Paragraphs of docstrings are unwrapped, but for examples of files."""
    assert call("experiment", "--help") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "seeds: [0, 1, 2]" in lines
    assert max(map(len, lines)) > 130


def test_version(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out.strip() == tfdvbpr.__version__


def test_log_lines_go_to_stderr_as_the_user_wants(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.getLogger("tfdvbpr.somewhere")

    def lines(*arguments: str) -> list[str]:
        def log_three(*_: object, **__: object) -> None:
            for level in ("debug", "info", "warning"):
                getattr(log, level)("%s [bold]x[/bold]", level)
            raise ConfigError("done")

        monkeypatch.setattr("tfdvbpr.data.dataset.PreparedDataset.open", log_three)
        assert call(*arguments) == 2
        captured = capsys.readouterr()
        assert not captured.out
        return captured.err.splitlines()[:-1]

    plain = ["info [bold]x[/bold]", "Warning: warning [bold]x[/bold]"]
    assert lines("describe", str(tmp_path)) == plain
    assert lines("--quiet", "describe", str(tmp_path)) == lines("describe", str(tmp_path), "-q") == plain[1:]
    assert lines("describe", "--verbose", str(tmp_path)) == ["debug [bold]x[/bold]", *plain]
    assert not logging.getLogger("tfdvbpr").handlers
