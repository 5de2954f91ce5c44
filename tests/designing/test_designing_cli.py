"""The commands `design`, `tailor`, `interpolate` and `generate`, and the functions that they call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_data import BLUE, Command, encoded, noisy_picture

import tfdvbpr
from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer
from tfdvbpr.run import GanRun, Run


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_design_a_group_and_interpolate_between_its_designs(
    command: Command, tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path
) -> None:
    request = ("--gan", tiny_gan_run.path, "--category", "shoe", "--user", "u0", "--user", "u1", "--count", 2)
    settings = ("--set", "num_steps=4", "--set", "num_starts=3", "--output", tmp_path / "designs")
    code, shown, complaint = command("design", tiny_run.path, *request, *settings)
    assert code == 0, complaint
    assert "grid.png" in shown
    about = _read(tmp_path / "designs" / "designs.json")
    assert Audience.of_json(about["audience"]) == Audience.group(["u0", "u1"])
    assert [len(design["history"]["preferences"]) for design in about["designs"]] == [5, 5]
    ends = ("--from", f"{tmp_path / 'designs'}:1", "--to", f"{tmp_path / 'designs'}:2", "--output", tmp_path / "path")
    code, _, complaint = command("interpolate", tiny_run.path, "--gan", tiny_gan_run.path, *ends)
    assert code == 0, complaint
    found = _read(tmp_path / "path" / "interpolation.json")
    assert found["frames"][0]["first_preference"] == pytest.approx(about["designs"][0]["preference"], abs=0.1)
    assert sorted(path.name for path in (tmp_path / "path").glob("frame_*.png"))[-1] == "frame_09.png"


def test_design_without_a_folder(designer: Designer, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a new user, with the default number of designs; by the designer that is compiled already."""
    monkeypatch.setattr("tfdvbpr.designing.designer.Designer", lambda run, gan_run, options: designer)
    options = designer.options
    designs = tfdvbpr.design(designer.run, designer.gan_run, category="shoe", liked=["i1"], options=options, seed=2)
    again = designer.design_for(tfdvbpr.Audience.liked(["i1"]), "shoe", seed=2, num_designs=3)
    assert designs.images.shape == (1, 3, 32, 32, 3)
    np.testing.assert_array_equal(designs.images, again.images)


def test_tailor_items_and_a_photo(command: Command, tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(encoded(noisy_picture(BLUE, (50, 40), 3), "PNG"))
    items = ("--item", "i1", "--item", "i2", "--image", tmp_path / "mine.png", "--category", "shoe")
    settings = [f"--set={value}" for value in ("num_steps=2", "invert_steps=3", "num_starts=2", "num_candidates=4")]
    places = ("--gan", tiny_gan_run.path, "--second-run", tiny_run.path, "--output", tmp_path / "tailored")
    code, shown, complaint = command("tailor", tiny_run.path, "--liked", "i3", *items, *settings, *places)
    assert code == 0, complaint
    assert "gain" in shown
    figures = _read(tmp_path / "tailored" / "tailored.json")
    assert [item["item"] for item in figures["items"]] == ["i1", "i2", "mine.png"]
    assert figures["strengths"] == [0.5, 1.0, 2.0]


def test_generate(command: Command, tiny_gan_run: GanRun, tmp_path: Path) -> None:
    request = ("--category", "shoe", "--count", 3, "--seed", 5, "--output", tmp_path / "samples")
    assert command("generate", tiny_gan_run.path, *request)[0] == 0
    samples = _read(tmp_path / "samples" / "samples.json")
    assert [each["seed"] for each in samples] == [5, 6, 7]
    assert {each["category"] for each in samples} == {"shoe"}
    assert all(each["nearest_item"].startswith("i") for each in samples)
    with Image.open(tmp_path / "samples" / samples[0]["file"]) as image:
        assert image.size == (32, 32)


_DESIGN = ("design", "RUN", "--gan", "GAN", "--output", "out")
_USER = ("--user", "u1", "--category", "shoe")
_TAILOR = ("tailor", "RUN", "--gan", "GAN", "--output", "out")
_INTERPOLATE = ("interpolate", "RUN", "--gan", "GAN", "--output", "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*_DESIGN, "--category", "shoe"), "Give one of the two"),
        ((*_DESIGN, *_USER, "--liked", "i1"), "Give one of the two"),
        ((*_DESIGN, "--user", "x", "--category", "shoe"), "`user` must be one of the 8 known ids"),
        ((*_DESIGN, "--liked", "x", "--category", "shoe"), "`item` must be one of the 16 known ids"),
        ((*_DESIGN, "--user", "u1", "--category", "hat"), "`category` must be one of the 2 known ids"),
        ((*_DESIGN, *_USER, "--set", "num_starts=0"), "`num_starts` must be at least 1. Received 0"),
        ((*_DESIGN, *_USER, "--count", 0), "`num_designs` must be at least 1. Received 0"),
        ((*_DESIGN, *_USER, "--count", 17), "`num_designs` must be at most num_starts=16. Received 17"),
        ((*_DESIGN, *_USER, "--set", "steps=3"), "Nearest: 'num_steps'"),
        ((*_DESIGN, *_USER, "--set", "learning_rate=0"), "`learning_rate` must be above 0. Received 0"),
        ((*_DESIGN, *_USER, "--second-run", "GAN"), "must be a recommender run"),
        ((*_TAILOR, "--user", "u1"), "Say what to tailor"),
        ((*_TAILOR, "--item", "i1"), "Give one of the two"),
        ((*_TAILOR, "--user", "u1", "--item", "x"), "`item` must be one of the 16 known ids"),
        ((*_TAILOR, "--user", "u1", "--image", "x.jpg"), "--image must come with --category"),
        ((*_TAILOR, "--user", "u1", "--image", "x.jpg", "--category", "shoe"), "x.jpg cannot be read"),
        ((*_INTERPOLATE, "--from", "nowhere:1", "--to", "nowhere:2"), "nowhere is not one"),
        ((*_INTERPOLATE, "--from", "nowhere", "--to", "nowhere:2"), "FOLDER:NUMBER"),
        (("generate", "GAN", "--output", "out", "--category", "hat"), "`category` must be one of the 2 known ids"),
        (("generate", "GAN", "--output", "out", "--count", 0), "`count` must be at least 1"),
        (("generate", "RUN", "--output", "out"), "must be a gan run"),
    ],
)
def test_one_sentence_before_any_compute(
    command: Command,
    tiny_run: Run,
    tiny_gan_run: GanRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[object, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("designer.maximize", "tailor.invert", "sample._generated"):
        monkeypatch.setattr(
            f"tfdvbpr.designing.{name}", lambda *_, **__: pytest.fail("must be refused before any compute")
        )
    places = {"RUN": tiny_run.path, "GAN": tiny_gan_run.path}
    code, _, complaint = command(*(places.get(str(argument), argument) for argument in arguments))
    assert code == 2
    lines = [line for line in complaint.splitlines() if line.startswith("tfdvbpr:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists()
