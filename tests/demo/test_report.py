from __future__ import annotations

import re
import shutil
from pathlib import Path

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.demo import report
from tfdvbpr.demo.checks import ColourCheck, ServingCheck
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.designing.sample import write_sample_grid
from tfdvbpr.run import GanRun, Run


def test_the_report_contains_everything(
    tiny_run: Run, tiny_gan_run: GanRun, checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    run = Run.open(shutil.copytree(tiny_run.path, tmp_path / "run"))  # evaluated, which the shared run is not
    gan = GanRun.open(shutil.copytree(tiny_gan_run.path, tmp_path / "gan"))
    designer = Designer(run, gan, options=DesignOptions(num_starts=5, num_steps=2))
    users = report.design_for_users(designer, checkerboard_dataset, tmp_path, num_users=2, seed=0)
    assert (tmp_path / "designs.png").is_file()
    assert len({user.category for user in users}) == len(users) >= 1
    assert all(images.shape[1:] == (32, 32, 3) for user in users for images in user.images.values())
    write_sample_grid(gan)
    page = report.render(
        dataset=checkerboard_dataset,
        figures=[api.evaluate(run)],
        runs={"dvbpr": run},
        gan=gan,
        users=users,
        colours=ColourCheck(80, 50, 20, 35, 5, 1e-6, 0.4),
        serving=ServingCheck(5, True, 1e-7, 1e-7, 0),
        seconds=12.0,
    )
    assert "50 of 80" in page
    assert "p = 1e-06" in page
    assert users[0].user_id in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)  # nothing is fetched from anywhere
