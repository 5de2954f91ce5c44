from __future__ import annotations

import re
import shutil
from pathlib import Path

from simulated_users import known_attributes

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.demo import report
from tfdvbpr.demo.checks import AttributeTest, PreferenceCheck, ServingCheck
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.designing.sample import write_sample_grid
from tfdvbpr.run import GanRun, Run


def test_the_report_contains_everything(
    tiny_run: Run, tiny_gan_run: GanRun, checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    run = Run.open(shutil.copytree(tiny_run.path, tmp_path / "run"))  # evaluated, which the shared run is not
    gan = GanRun.open(shutil.copytree(tiny_gan_run.path, tmp_path / "gan"))
    truth = known_attributes()
    designer = Designer(run, gan, options=DesignOptions(num_starts=5, num_steps=2))
    users = report.design_for_users(designer, checkerboard_dataset, truth, tmp_path, num_users=2, seed=0)
    assert (tmp_path / "designs.png").is_file()
    assert len({user.category for user in users}) == len(users) >= 1
    assert all(images.shape[1:] == (32, 32, 3) for user in users for images in user.images.values())
    write_sample_grid(gan)
    colour = AttributeTest(50, 20, 35, 5, p_value=1e-6, items=60, reader_accuracy=0.99)
    page = report.render(
        dataset=checkerboard_dataset,
        figures=[api.evaluate(run)],
        runs={"dvbpr": run},
        gan=gan,
        users=users,
        preferences=PreferenceCheck(80, {"colour": colour}, mean_gain=0.4),
        serving=ServingCheck(5, True, 1e-7, 1e-7, 0, 3),
        starts=5,
        seconds=12.0,
    )
    first_screen, table = page.split("<h2>Which recommender</h2>")[0], page.split("<h2>Do designs show")[1]
    for user in users:
        assert f"{user.user_id} is known to like {user.known}. " in first_screen
    assert first_screen.count("<img") == sum(
        len(user.images[name]) for user in users for name in ("liked", "recommended", "designed")
    )
    figures = re.findall(r"<td[^>]*>([^<]+)</td>", table)[:8]
    assert figures == ["colour", "62 %", "25 %", "75 %", "35", "5", "1e-06", "99.0 %"]
    assert "A liked colour shows in 50 of 80 designs" in report.summary(
        PreferenceCheck(80, {"colour": colour}, mean_gain=0.4), ServingCheck(5, True, 1e-7, 1e-7, 0, 3)
    )
    assert not re.findall(r'(?:src|href)="(?!data:)', page)  # nothing is fetched from anywhere


def test_advice_names_the_best_model_for_each_purpose() -> None:
    def row(model: str, auc: float, cold: float | None, recall: float) -> dict[str, object]:
        return {"model": model, "auc": {"all": auc, "cold": cold}, "recall@10": recall, "ndcg@10": 0.1}

    text = report.advice(
        [row("popularity", 0.6, None, 0.02), row("bpr-mf", 0.7, 0.5, 0.2), row("dvbpr", 0.8, 0.7, 0.1)]
    )
    assert "bpr-mf for the top of a list (recall@10 0.200)" in text
    assert "dvbpr for new and rarely bought items (AUC of cold items 0.700)" in text
    assert "dvbpr for the order of the whole catalogue (AUC 0.800)" in text
