"""The command line: what it prints, what it leaves, and one line with exit code 2 for what the user can correct."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from tiny_data import RED, encoded, huge_png, noisy_picture, write_source

import tfdvbpr
from tfdvbpr import cli
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers import IMPORTERS
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders import RECOMMENDERS
from tfdvbpr.run import GanRun, Run

Call = Callable[..., int]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs `tfdvbpr ARGUMENTS...` in this process and returns its exit code."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["tfdvbpr", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    return run


def complaint(call: Call, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a call that must end with 2."""
    assert call(*arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tfdvbpr:")]
    assert len(lines) == 1
    return lines[0]


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


def test_from_images_to_designs(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    colours = [(200, 40, 40), (40, 60, 200)]
    items = [
        (f"i{n}", ("shirt", "shoe")[n // 2 % 2], encoded(noisy_picture(colours[n % 2], (40, 30), n))) for n in range(16)
    ]
    actions = [(f"u{user}", f"i{item}") for user in range(6) for item in range(user % 2, 16, 2)]
    source = write_source(tmp_path / "shop", items, actions)
    dataset, run, gan = tmp_path / "dataset", tmp_path / "run", tmp_path / "gan"
    assert call("prepare", source, "--image-size", "32x32", "--output", dataset) == 0
    assert call("describe", dataset, "--verify") == 0
    printed = capsys.readouterr().out
    assert "32x32, pad" in printed
    assert "Every file agrees with the manifest." in printed
    small = ("--set", "epochs=1", "--set", "embedding_dim=4", "--set", "global_batch_size=8")
    assert call("train", dataset, "--model", "dvbpr", "--output", run, *small) == 0
    assert Run.open(run).config.embedding_dim == 4
    widths = ("--set", "base_channels=4", "--set", "discriminator_channels=4", "--set", "epochs=1")
    assert call("train-gan", dataset, "--output", gan, "--preset", "plain", *widths) == 0
    assert (gan / "samples.png").is_file()
    assert call("evaluate", run, "--output", tmp_path / "metrics.json") == 0
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert set(figures) >= {"model", "dataset", "split", "num_users", "auc", "recall@10", "ndcg@10", "mrr"}
    assert set(figures["auc"]) == {"all", "cold", "warm"}
    assert pl.read_parquet(run / "per_user-test.parquet").height == figures["num_users"]
    assert call("compare", run, "--metric", "auc", "--metric", "mrr", "--output", tmp_path / "compared") == 0
    assert "dvbpr" in (tmp_path / "compared" / "comparison.md").read_text()
    designs = tmp_path / "designs"
    request = ("--user", "u1", "--category", "shoe", "--output", designs)
    assert call("design", run, "--gan", gan, *request, "--set", "num_starts=2", "--set", "num_steps=2") == 0
    names = {path.name for path in designs.iterdir()}
    assert names >= {"grid.png", "ascent.gif", "designs.json", "design_01.png", "design_02.png"}


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
    assert without == {"demo", "launch", "config"}, "which print no figures, or those of other commands"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("evalute", "run"), "Did you mean evaluate"),
        (("trian", "shop"), "Did you mean train"),
        (("train", "shop", "--outptu", "x"), "--output"),
        (("evaluate", "RUN", "--metric", "recal@10"), "recall"),
        (("train", "DATASET", "--output", "x", "--set", "emb=3"), "Nearest: embedding_dim"),
        (("train", "DATASET", "--output", "x", "--model", "dvpbr"), "dvbpr"),
    ],
)
def test_the_nearest_name_is_suggested(
    call: Call, tiny_run: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], shown: str
) -> None:
    places = {"RUN": str(tiny_run.path), "DATASET": tiny_run.manifest.dataset_path}
    assert call(*(places.get(each, each) for each in arguments)) == 2
    assert shown in capsys.readouterr().err


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


def test_hostile_input_is_quarantined(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """5 % truncated images, 1 % unknown ids, an empty file, a huge PNG and a text file named .jpg."""
    good = [encoded(noisy_picture(RED, (40, 40), number)) for number in range(100)]
    images = [image[: len(image) // 2] if number < 5 else image for number, image in enumerate(good)]
    images[5], images[6], images[7] = b"", huge_png(20_000), b"this is no image"
    items = [(f"i{number}", "shirt", image) for number, image in enumerate(images)]
    actions = [(f"u{user}", f"i{(7 * user + 3 * step) % 100}") for user in range(50) for step in range(8)]
    actions[::100] = [("u1", "nobody knows this item")] * 4
    source = write_source(tmp_path / "shop", items, actions)
    assert call("prepare", source, "--output", tmp_path / "dataset") == 0
    printed = capsys.readouterr().out
    dataset = PreparedDataset.open(tmp_path / "dataset")
    assert dataset.manifest.num_items == 92
    assert dataset.manifest.quarantine["broken image"] == 8
    assert dataset.manifest.quarantine["unknown item id"] == 4
    listed = pl.read_csv(tmp_path / "dataset" / "quarantine.csv")
    assert listed.height == dataset.manifest.num_quarantined
    reasons = dict(zip(listed["value"], listed["reason"], strict=True))
    assert "empty file" in reasons["images/5.jpg"]
    assert "400000000 pixels" in reasons["images/6.jpg"]
    assert "images/7.jpg" in reasons
    assert "broken image" in printed
    assert "quarantine.csv" in printed


def test_splits_filters_and_duplicates(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [encoded(noisy_picture(RED, (32, 32), min(number, 5))) for number in range(7)]  # the last two the same
    items = [(f"i{number}", "shirt", image) for number, image in enumerate(images)]
    source = write_source(tmp_path / "shop", items, [])
    rows = [f"u{user},i{item},2024-01-0{item + 1}" for user in range(4) for item in range(6)]
    (source / "interactions.csv").write_text(
        "\n".join(["user_id,item_id,timestamp", *rows, "lone,i6,2024-01-01"]) + "\n"
    )
    dataset, output = tmp_path / "dataset", tmp_path / "description"
    request = ("--split", "time", "--test-fraction", "0.2", "--min-user-actions", "2", "--duplicates", "merge")
    assert call("prepare", source, "--output", dataset, "--image-size", "32x32", *request) == 0
    printed = capsys.readouterr().out
    assert "split: time" in printed
    assert "filtered: users with fewer than 2 actions" in printed
    assert "duplicates.csv" in printed
    about = PreparedDataset.open(dataset).manifest
    assert (about.num_train, about.num_validation, about.num_test) == (16, 4, 4)
    assert (about.num_items, about.filtered["users"]) == (6, 1)
    assert call("describe", dataset, "--output", output) == 0
    printed = capsys.readouterr().out
    assert "2024-01-06T00:00:00Z" in printed
    assert "Gini" in printed
    assert {path.name for path in output.iterdir()} == {"long_tail.png", "sample_grid.png", "description.json"}
    line = complaint(call, capsys, "prepare", source, "--output", tmp_path / "other", "--split", "source")
    assert "needs a column `split`" in line
    line = complaint(call, capsys, "prepare", source, "--output", tmp_path / "other", "--test-fraction", "1")
    assert "`test_fraction`" in line


def test_a_wrong_header(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_source(tmp_path / "shop", [("i0", "shirt", encoded(noisy_picture(RED, (32, 32), 0)))], [])
    (source / "interactions.csv").write_text("customer;product\n1;2\n")
    printed = complaint(call, capsys, "prepare", source, "--output", tmp_path / "dataset")
    assert "interactions.csv" in printed
    assert "user_id" in printed
    assert not (tmp_path / "dataset").exists()


def test_help_names_every_source(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("prepare", "--help") == 0
    printed = capsys.readouterr().out
    assert all(f"{name}: " in printed for name in IMPORTERS)


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


def test_published_sources(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("dvbpr-npy", "hm", "amazon-reviews-2023"):
        printed = complaint(call, capsys, "prepare", "--format", name, "--output", tmp_path / "out")
        assert f"--format {name} needs a SOURCE" in printed
        printed = complaint(call, capsys, "prepare", tmp_path, "--format", name, "--output", tmp_path / "out")
        assert str(tmp_path) in printed
    printed = complaint(call, capsys, "prepare", tmp_path, "--format", "fashion-mnist", "--output", tmp_path / "out")
    assert "Fashion-MNIST's four files" in printed
    assert "dvbpr-npy" in complaint(call, capsys, "prepare", tmp_path, "--format", "x", "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_places(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "There is no folder" in complaint(call, capsys, "prepare", tmp_path / "no", "--output", tmp_path / "out")
    assert "tfdvbpr prepare" in complaint(call, capsys, "describe", tmp_path / "no")
    assert "tfdvbpr prepare" in complaint(call, capsys, "train", tmp_path / "no", "--output", tmp_path / "out")
    assert "tfdvbpr train DATASET" in complaint(call, capsys, "evaluate", tmp_path / "no")


def test_a_dataset_of_another_version(
    call: Call, checkerboard_dataset: PreparedDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(checkerboard_dataset.path, tmp_path / "dataset")
    manifest = copy / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format_version": 99}))
    assert "version 99" in complaint(call, capsys, "train", copy, "--output", tmp_path / "run")


def test_unknown_names(
    call: Call, tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = ("design", tiny_run.path, "--gan", tiny_gan_run.path, "--output", tmp_path / "out")
    printed = complaint(call, capsys, *request, "--user", "nobody", "--category", "shoe")
    assert printed.startswith("tfdvbpr: `user` must be one of the 8 known ids. Received 'nobody'.")
    printed = complaint(call, capsys, *request, "--user", "u1", "--category", "shoes")
    assert "`category` must be one of the 2 known" in printed
    assert "'shoe'" in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("--model", "magic"), "`model` must be one of dvbpr"),
        (("--set", "epoch=3"), "Nearest: epochs."),
        (("--set", "epochs=none"), "`epochs` has a wrong value"),
        (("--set", "epochs"), "KEY=VALUE"),
        (("--config", "no.yaml"), "no.yaml cannot be read"),
        (("--preset", "letter"), "`preset` must be one of paper"),
        (("--set", "backbone=ResNet5"), "Nearest: ResNet50"),
        (("--set", "backbone_trainable=last:0"), "`backbone_trainable` has a wrong value"),
    ],
)
def test_wrong_configuration(
    call: Call,
    checkerboard_dataset: PreparedDataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    printed: str,
) -> None:
    line = complaint(call, capsys, "train", checkerboard_dataset.path, "--output", tmp_path / "run", *arguments)
    assert printed in line


@pytest.mark.parametrize("size", ["64", "64x", "8x8", "0x64"])
def test_wrong_image_sizes(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: str) -> None:
    complaint(call, capsys, "prepare", tmp_path, "--image-size", size, "--output", tmp_path / "out")


def test_an_output_that_is_taken(call: Call, tiny_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = tiny_run.manifest.dataset_path
    assert "--if-exists overwrite" in complaint(call, capsys, "train", dataset, "--output", tiny_run.path)


def test_what_the_user_cannot_correct_ends_with_1(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tfdvbpr.data.dataset.PreparedDataset.open", lambda *_, **__: 1 / 0)
    assert call("describe", tmp_path) == 1
    assert capsys.readouterr().err.startswith("tfdvbpr: ZeroDivisionError")


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
