"""The demo's parts on tiny runs; the whole of it is `make demo`."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.demo import report, serving_check, walk
from tfdvbpr.demo.gallery import draw_gallery
from tfdvbpr.demo.serving_check import ServingCheck
from tfdvbpr.demo.taste_check import TasteCheck
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.designing.sample import write_sample_grid
from tfdvbpr.errors import OutputExistsError, RunError
from tfdvbpr.run import GanRun, Run


@pytest.fixture(scope="module")
def designer(tiny_run: Run, tiny_gan_run: GanRun) -> Designer:
    return Designer(tiny_run, tiny_gan_run, options=DesignOptions(num_starts=5, num_steps=2))


def test_the_report_carries_everything(
    designer: Designer, tiny_run: Run, tiny_gan_run: GanRun, checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    gallery = draw_gallery(designer, checkerboard_dataset, tmp_path / "designs", num_users=2, seed=0)
    assert gallery.sheet.is_file()
    assert len({user.category for user in gallery.users}) == len(gallery.users) >= 1
    write_sample_grid(tiny_gan_run)
    page = report.render(
        dataset=checkerboard_dataset,
        figures=[api.evaluate(tiny_run)],
        runs={"dvbpr": tiny_run},
        gan=tiny_gan_run,
        gallery=gallery,
        tastes=TasteCheck(80, 50, 20, 35, 5, 1e-6, 0.4),
        serving=ServingCheck(5, True, 1e-7, 1e-7, 0),
        seconds=12.0,
    )
    assert "50 of 80" in page
    assert "p = 1e-06" in page
    assert gallery.users[0].user_id in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)  # nothing is fetched from anywhere


def test_wrong_served_answers_are_seen() -> None:
    good = ServingCheck(num_users=5, same_items=True, score=1e-6, preference=1e-6, pixels=1)
    assert good.equal
    for change in ({"same_items": False}, {"score": 1e-4}, {"preference": 1e-4}, {"pixels": 2}):
        assert not dataclasses.replace(good, **change).equal  # type: ignore[arg-type]


def test_an_export_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="tfdvbpr train DATASET"):
        serving_check.export("recommender", [str(tmp_path / "no"), "--output", str(tmp_path / "models")])


def test_the_demo_takes_no_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(OutputExistsError, match="holds other things"):
        walk.run_demo(tmp_path)
    assert (tmp_path / "letter.txt").is_file()


def test_a_demo_of_another_seed_is_not_mixed_in(tmp_path: Path) -> None:
    (tmp_path / walk.MARKER_NAME).write_text('{"seed": 1, "version": "0"}\n')
    with pytest.raises(OutputExistsError, match="another seed or version"):
        walk.run_demo(tmp_path, seed=0)
