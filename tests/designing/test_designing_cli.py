"""The commands `design`, `tailor`, `interpolate` and `generate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_data import BLUE, Command, encoded, noisy_picture

from tfdvbpr.run import GanRun, Run


def _told(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _frames(path: Path) -> int:
    with Image.open(path) as picture:
        return int(getattr(picture, "n_frames", 1))


def test_a_group_with_a_second_recommender_and_the_way_between_its_designs(
    command: Command, tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path
) -> None:
    (tmp_path / "segment.txt").write_text("u1\nu2\n")
    asked = ("--gan", tiny_gan_run.path, "--category", "shoe", "--steps", 4, "--starts", 3, "--count", 2)
    whom = ("--user", "u0", "--users", tmp_path / "segment.txt", "--least-misery", 0.5)
    more = ("--second-run", tiny_run.path, "--smoothing", "augment", "--output", tmp_path / "designs")
    code, _, complaint = command("design", tiny_run.path, *asked, *whom, *more)
    assert code == 0, complaint
    told = _told(tmp_path / "designs" / "designs.json")
    assert told["audience"]["user_ids"] == ["u0", "u1", "u2"]
    for design in told["designs"]:
        assert set(design["members"]) == {"u0", "u1", "u2"}
        # The second recommender is the first one here, so it must say the same of the written picture.
        assert design["second_preference"] == pytest.approx(design["preference"], abs=0.1)
        assert design["second_initial_preference"] == pytest.approx(design["initial_preference"], abs=0.1)
        members = list(design["members"].values())
        expected = 0.5 * sum(members) / 3 + 0.5 * min(members)
        assert design["preference"] == pytest.approx(expected, abs=0.1)
        assert [len(values) for values in design["history"].values()] == [5, 5, 5]
        assert len(design["nearest_items_by_taste"]) == 3
        assert design["novelty"] >= 0
    assert _frames(tmp_path / "designs" / "path.gif") > 2
    ends = ("--from", f"{tmp_path / 'designs'}:1", "--to", f"{tmp_path / 'designs'}:2", "--frames", 3)
    code, _, complaint = command(
        "interpolate", tiny_run.path, "--gan", tiny_gan_run.path, *ends, "--output", tmp_path / "way"
    )
    assert code == 0, complaint
    way = _told(tmp_path / "way" / "interpolation.json")
    assert way["frames"][0]["first_preference"] == pytest.approx(told["designs"][0]["preference"], abs=0.1)
    assert sorted(path.name for path in (tmp_path / "way").glob("frame_*.png"))[-1] == "frame_03.png"


def test_starts_of_no_spread_are_refused(command: Command, tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path) -> None:
    asked = ("--gan", tiny_gan_run.path, "--category", "shoe", "--user", "u0", "--output", tmp_path / "designs")
    code, _, complaint = command("design", tiny_run.path, *asked, "--initial-stddev", 0)
    assert code == 2
    assert "`initial_stddev` must be above 0. Received 0" in complaint
    assert not list(tmp_path.iterdir())


def test_tailor_items_and_a_photo(command: Command, tiny_run: Run, tiny_gan_run: GanRun, tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(encoded(noisy_picture(BLUE, (50, 40), 3), "PNG"))
    what = ("--item", "i1", "--item", "i2", "--image", tmp_path / "mine.png", "--category", "shoe")
    how = ("--steps", 2, "--invert-steps", 3, "--starts", 2, "--strength", 1, "--strength", 3)
    places = ("--gan", tiny_gan_run.path, "--second-run", tiny_run.path, "--output", tmp_path / "tailored")
    code, shown, complaint = command("tailor", tiny_run.path, "--liked", "i3", *what, *how, *places)
    assert code == 0, complaint
    assert "gain" in shown
    told = _told(tmp_path / "tailored" / "tailored.json")
    assert [item["item"] for item in told["items"]] == ["i1", "i2", "mine.png"]
    assert told["strengths"] == [1.0, 3.0]
    for item in told["items"]:
        assert item["second_gain"] == pytest.approx(item["gain"], abs=0.2)
        assert -1 <= item["ssim"] <= 1
    assert told["means"]["ssim"] == pytest.approx(sum(item["ssim"] for item in told["items"]) / 3, abs=1e-5)
    names = {path.name for path in (tmp_path / "tailored").iterdir()}
    assert {"paths.png", "steps.png", "path.gif", "item_03_strength_3.png"} <= names


def test_generate(command: Command, tiny_gan_run: GanRun, tmp_path: Path) -> None:
    asked = ("--category", "shoe", "--count", 3, "--seed", 5, "--output", tmp_path / "samples")
    assert command("generate", tiny_gan_run.path, *asked)[0] == 0
    told = _told(tmp_path / "samples" / "samples.json")
    assert [each["seed"] for each in told] == [5, 6, 7]
    assert {each["category"] for each in told} == {"shoe"}
    assert all(each["nearest_item"].startswith("i") for each in told)
    with Image.open(tmp_path / "samples" / told[0]["file"]) as picture:
        assert picture.size == (32, 32)


_DESIGN = ("design", "RUN", "--gan", "GAN", "--output", "out")
_USER = ("--user", "u1", "--category", "shoe")
_TAILOR = ("tailor", "RUN", "--gan", "GAN", "--output", "out")
_WAY = ("interpolate", "RUN", "--gan", "GAN", "--output", "out")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((*_DESIGN, "--category", "shoe"), "Say whom it is for"),
        ((*_DESIGN, *_USER, "--liked", "i1"), "Give one of the two"),
        ((*_DESIGN, "--user", "x", "--category", "shoe"), "`user` must be one of the 8 known ids"),
        ((*_DESIGN, "--liked", "x", "--category", "shoe"), "`item` must be one of the 16 known ids"),
        ((*_DESIGN, "--user", "u1", "--category", "hat"), "`category` must be one of the 2 known ids"),
        ((*_DESIGN, *_USER, "--starts", 0), "`starts` must be at least 1. Received 0"),
        ((*_DESIGN, *_USER, "--count", 0), "`count` must be at least 1. Received 0"),
        ((*_DESIGN, *_USER, "--steps", -3), "`num_steps` must be at least 1. Received -3"),
        ((*_DESIGN, *_USER, "--realism-weight", "nan"), "`realism_weight` must be a finite number. Received nan"),
        ((*_DESIGN, *_USER, "--learning-rate", "inf"), "`learning_rate` must be a finite number"),
        ((*_DESIGN, *_USER, "--smoothing", "strong"), "`smoothing` must be one of none, augment, blur"),
        ((*_DESIGN, *_USER, "--latents", "bounded", "--norm-prior-weight", 1), "`norm_prior_weight` is for Gaussian"),
        ((*_DESIGN, *_USER, "--user", "u2", "--least-misery", 2), "`least_misery` must lie in [0, 1]"),
        ((*_DESIGN, *_USER, "--nearest-by", "smell"), "`nearest_by` must be taste, colour-and-edges"),
        ((*_DESIGN, *_USER, "--second-run", "GAN"), "must be a recommender run"),
        ((*_DESIGN, *_USER, "--users", "nowhere.txt"), "--users must name a text file"),
        ((*_TAILOR, "--user", "u1"), "Say what to tailor"),
        ((*_TAILOR, "--user", "u1", "--item", "x"), "`item` must be one of the 16 known ids"),
        ((*_TAILOR, "--user", "u1", "--image", "x.jpg"), "--image must come with --category"),
        ((*_TAILOR, "--user", "u1", "--image", "x.jpg", "--category", "shoe"), "x.jpg cannot be read"),
        ((*_TAILOR, "--user", "u1", "--item", "i1", "--strength", "nan"), "`strength` must be a finite number"),
        ((*_TAILOR, "--user", "u1", "--item", "i1", "--perception", "x"), "`perception` must be backbone"),
        ((*_WAY, "--user", "u1", "--to-user", "u2"), "--category"),
        ((*_WAY, "--from", "nowhere:1", "--to", "nowhere:2"), "nowhere is none"),
        ((*_WAY, "--from", "nowhere", "--to", "nowhere:2"), "FOLDER:NUMBER"),
        ((*_WAY, "--user", "u1", "--to-user", "u2", "--category", "shoe", "--frames", 1), "at least 2"),
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
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("studio.maximize", "tailoring.invert", "samples._drawn"):
        monkeypatch.setattr(
            f"tfdvbpr.design.{name}", lambda *_, **__: pytest.fail("must be refused before any compute")
        )
    places = {"RUN": tiny_run.path, "GAN": tiny_gan_run.path}
    code, _, complaint = command(*(places.get(str(argument), argument) for argument in arguments))
    assert code == 2
    lines = [line for line in complaint.splitlines() if line.startswith("tfdvbpr:")]
    assert len(lines) == 1
    assert told in lines[0]
    assert not (tmp_path / "out").exists()
