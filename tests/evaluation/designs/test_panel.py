"""The blind panel: its pairs, its page, and the test of people's choices."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy import stats
from tiny_data import Command

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError, SourceError
from tfdvbpr.evaluation.designs.baselines import RANDOM_G, RETRIEVED, Requests
from tfdvbpr.evaluation.designs.panel import Pair, key_table, panel_pairs
from tfdvbpr.reporting.panel import write_panel
from tfdvbpr.run import GanRun, Run

DESIGNS = "designs η=0"
_SHADES = {RANDOM_G: 40, RETRIEVED: 80, "designs η=1": 120, DESIGNS: 160}


@pytest.fixture
def evaluation(tiny_run: Run, checkerboard_dataset: PreparedDataset) -> Any:
    """Six users in two categories; a kind of images is a shade of grey, a request is its red."""
    users = np.repeat(np.arange(6), 2)

    def images(shade: int) -> Any:
        found = np.full((12, 32, 32, 3), shade, np.uint8)
        found[..., 0] = np.arange(12)[:, None, None]
        return SimpleNamespace(images=found)

    return SimpleNamespace(
        requests=Requests(users, ["shirt", "shoe"] * 6),
        run=tiny_run,
        photos=SimpleNamespace(dataset=checkerboard_dataset),
        images={kind: images(shade) for kind, shade in _SHADES.items()},
        default_designs=DESIGNS,
    )


def test_pairs_show_what_their_kinds_say(evaluation: Any) -> None:
    pairs = panel_pairs(evaluation, 12)
    for one in pairs:
        assert DESIGNS in one.kinds
        assert [int(image[0, 0, 1]) for image in one.images] == [_SHADES[kind] for kind in one.kinds]
        number = int(one.images[0][0, 0, 0])
        assert (one.user_id, one.category) == (f"u{number // 2}", ["shirt", "shoe"][number % 2])
    kinds = [kind for one in pairs for kind in one.kinds]
    assert (kinds.count(RANDOM_G), kinds.count(RETRIEVED)) == (6, 6)
    assert {one.kinds.index(DESIGNS) for one in pairs} == {0, 1}
    assert len({one.user_id for one in panel_pairs(evaluation, 6)}) == 6  # each user once before one comes again


def test_the_same_seed_gives_the_same_panel(evaluation: Any) -> None:
    keys = [key_table(panel_pairs(evaluation, 12, seed=seed)) for seed in (3, 3, 4)]
    assert keys[0].equals(keys[1])
    assert not keys[0].equals(keys[2])


def test_what_a_user_likes_is_of_the_training_actions_and_not_the_other_image(
    evaluation: Any, tiny_run: Run, checkerboard_dataset: PreparedDataset
) -> None:
    items = checkerboard_dataset.items
    one = next(each for each in panel_pairs(evaluation, 12) if each.category == "shirt")
    user = tiny_run.user_ids.index(one.user_id)
    seen = {tiny_run.items.item_ids[item] for item in tiny_run.seen_items(user)}
    assert {items.item_ids[item] for item in one.liked} <= seen
    shirts = [items.categories[items.category_ids[item]] == "shirt" for item in one.liked]
    assert shirts == sorted(shirts, reverse=True)
    for kind in evaluation.images.values():
        kind.images[:] = checkerboard_dataset.images.read(np.array([one.liked[0]]))
    again = panel_pairs(evaluation, 12)
    assert (
        one.liked[0]
        not in next(each for each in again if (each.user_id, each.category) == (one.user_id, "shirt")).liked
    )


def test_there_are_as_many_pairs_as_requests_at_most(evaluation: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert len(panel_pairs(evaluation, 13)) == 12
    assert "The panel has 12 pairs" in caplog.text


def test_a_panel_needs_an_output(tiny_run: Run, tiny_gan_run: GanRun) -> None:
    with pytest.raises(ConfigError, match="together with an `output`"):
        api.evaluate_designs(tiny_run, tiny_gan_run, panel=4)


def test_the_page_has_the_images_and_not_the_key(
    evaluation: Any, checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    pairs = panel_pairs(evaluation, 4)
    write_panel(pairs, checkerboard_dataset, tmp_path / "panel")
    page = (tmp_path / "panel" / "panel.html").read_text(encoding="utf-8")
    for word in (RANDOM_G, RETRIEVED, "designs", "η", *(one.user_id + '"' for one in pairs)):
        assert word not in page
    shown = re.findall(r'data-choice="\w+"><img src="data:image/png;base64,([^"]+)"', page)
    found = [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in shown]
    np.testing.assert_array_equal(found, np.concatenate([one.images for one in pairs]))
    assert page.count('alt="bought before"') == sum(len(one.liked) for one in pairs)
    key = pl.read_csv(tmp_path / "panel" / "key.csv")
    assert key.select("left", "right").rows() == [one.kinds for one in pairs]


def _panel(folder: Path, pairs: list[tuple[str, str]]) -> Path:
    image = np.zeros((2, 8, 8, 3), np.uint8)
    folder.mkdir()
    key_table([Pair("u", "shirt", [], image, kinds) for kinds in pairs]).write_csv(folder / "key.csv")
    return folder


def _choices(path: Path, choices: list[str]) -> Path:
    path.write_text("pair,choice\n" + "".join(f"{number},{choice}\n" for number, choice in enumerate(choices, 1)))
    return path


def test_choices_are_tested_against_the_key(tmp_path: Path) -> None:
    """Ten pairs each: against random images nine are won, against real items three."""
    panel = _panel(tmp_path / "panel", [(DESIGNS, RANDOM_G), (RETRIEVED, DESIGNS)] * 10)
    choices = ["left", "left"] * 20
    choices[0] = "right"  # lost to a random image
    choices[1], choices[3], choices[5] = "right", "right", "right"  # won against a real item
    choices[7] = ""
    random, real = api.evaluate_panel(panel, [_choices(tmp_path / "a.csv", choices[:20])])
    assert (random.baseline, random.pairs, random.choices, random.pairs_won) == (RANDOM_G, 10, 10, 9)
    assert random.design_share == 0.9
    assert random.p_value == pytest.approx(stats.binomtest(9, 10).pvalue)
    assert (random.low, random.high) == pytest.approx((0.5958, 0.9821), abs=1e-4)  # Wilson's interval of 9 of 10
    assert (real.baseline, real.choices, real.undecided, real.pairs_won, real.pairs_lost) == (
        RETRIEVED, 9, 1, 3, 6,
    )  # fmt: skip


def test_a_pair_counts_once_however_many_people_see_it(tmp_path: Path) -> None:
    panel = _panel(tmp_path / "panel", [(DESIGNS, RANDOM_G)] * 3)
    files = [
        _choices(tmp_path / f"{number}.csv", choices)
        for number, choices in enumerate((["left"] * 3, ["left", "right", "right"], ["left", "right", ""]))
    ]
    (found,) = api.evaluate_panel(panel, files)
    assert (found.choices, found.undecided, found.pairs_won, found.pairs_lost) == (8, 1, 1, 1)  # one is even
    assert found.p_value == 1.0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("pair,choice\n1,middle\n", r"must be left, right or nothing\. Received 'middle'"),
        ("pair,choice\n9,left\n", "Pair 9 is not in the key"),
        ("pair,choice\n1,left\n1,left\n", "Pair 1 is there twice"),
        ("pair,choice\nx,left\n", r"`pair` in .* must be a number\. Received 'x'"),
        ("number,choice\n1,left\n", "It lacks pair"),
        ("", "cannot be read"),
        ("pair,choice\n" + "1,left\n" * 200_000, "at most 1,048,576 bytes"),
    ],
)
def test_wrong_choices_are_a_sentence(tmp_path: Path, text: str, named: str) -> None:
    panel = _panel(tmp_path / "panel", [(DESIGNS, RANDOM_G)])
    (tmp_path / "choices.csv").write_text(text)
    with pytest.raises(SourceError, match=named):
        api.evaluate_panel(panel, [tmp_path / "choices.csv"])


def test_the_command(tmp_path: Path, command: Command) -> None:
    panel = _panel(tmp_path / "panel", [(DESIGNS, RANDOM_G), (DESIGNS, RETRIEVED)] * 4)
    choices = _choices(tmp_path / "choices.csv", ["left"] * 8)
    code, printed, _ = command("evaluate-panel", panel, choices)
    assert code == 0
    assert RANDOM_G in printed
    assert "100%" in printed
    code, printed, _ = command("evaluate-panel", panel, choices, "--json")
    assert json.loads(printed)["result"]["results"][0]["pairs_won"] == 4
    code, _, errors = command("evaluate-panel", tmp_path, choices)
    assert (code, errors.count("\n")) == (2, 1)
    assert "There must be a file" in errors
