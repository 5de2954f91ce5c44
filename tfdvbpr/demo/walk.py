"""The steps of the demo; those that an interrupted demo has finished are skipped."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from tfdvbpr import api
from tfdvbpr._version import __version__
from tfdvbpr.cli import progress
from tfdvbpr.config import GanConfig
from tfdvbpr.data.dataset import MANIFEST_NAME, PreparedDataset
from tfdvbpr.data.preparation.prepare import PrepareOptions
from tfdvbpr.data.synthetic.source import read_truth
from tfdvbpr.errors import OutputExistsError
from tfdvbpr.evaluation.ranking.evaluate import table_rows
from tfdvbpr.files import IfExists, write_text
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import GanRun, Run

MODELS = ("popularity", "visrank", "bpr-mf", "dvbpr")
MARKER_NAME = "demo.json"
REPORT_NAME = "report.html"
_IMAGE_SIZE = 64
_DVBPR_EPOCHS = 30
_GAN = {
    "epochs": 26,
    "base_channels": 16,  # narrow: minutes on 2 cores
    "discriminator_channels": 16,
    "learning_rate": 3e-4,
    "discriminator_learning_rate": 1e-4,
    "variety_weight": 1.0,  # without it some trainings end with two colours
    "average_decay": 0.995,
}
_CHECKED_USERS = 80
_SHOWN_USERS = 5

Made = TypeVar("Made")


def run_demo(output: Path, *, seed: int = 0, if_exists: IfExists = "error") -> Path:
    """Runs the demo, or finishes an interrupted one of the same seed and version, and returns the path of report.html.

    Raises:
        OutputExistsError: if `output` holds something else.
    """
    began = time.perf_counter()
    output = Path(output)
    _claim(output, seed=seed, if_exists=if_exists)
    dataset = _dataset(output, seed)
    runs = {model: _run(output, dataset, model, seed) for model in MODELS}
    with progress.status("Evaluating over the whole catalogue"):
        figures = [api.evaluate(run) for run in runs.values()]
    write_text(output / "metrics.json", json.dumps(figures, indent=2) + "\n")
    title = f"{figures[0]['dataset']}, {figures[0]['split']}"
    progress.console.print(progress.plain_table(*table_rows(figures), title=title))
    gan = _gan(output, dataset, seed)
    return _report(output, dataset, runs, gan, figures, seed=seed, began=began)


def _claim(output: Path, *, seed: int, if_exists: IfExists) -> None:
    identity = {"seed": seed, "version": __version__}
    marker = output / MARKER_NAME
    if if_exists == "overwrite" and marker.is_file():
        shutil.rmtree(output)
    if marker.is_file():
        if json.loads(marker.read_text(encoding="utf-8")) == identity:
            return
        raise OutputExistsError(
            f"{output} holds a demo of another seed or version. Pass --if-exists overwrite to start afresh."
        )
    if output.exists() and (output.is_file() or any(output.iterdir())):
        raise OutputExistsError(
            f"`output` must be a new or empty folder. {output} holds other things. Give another path."
        )
    write_text(marker, json.dumps(identity) + "\n")


def _once(folder: Path, opened: Callable[[Path], Made], make: Callable[[], Made]) -> Made:
    """Opens what an earlier demo has finished, or makes it."""
    if (folder / MANIFEST_NAME).is_file():
        progress.console.print(f"kept {folder}", style="dim")
        return opened(folder)
    return make()


def _dataset(output: Path, seed: int) -> PreparedDataset:
    folder = output / "dataset"

    def make() -> PreparedDataset:
        shutil.rmtree(output / "garments", ignore_errors=True)
        with progress.counting("Rendering garments") as count:
            return api.prepare(
                None,
                folder,
                source_format="synthetic",
                importer_options={"keep_source": output / "garments"},
                options=PrepareOptions(image_size=(_IMAGE_SIZE, _IMAGE_SIZE), seed=seed),
                progress=count,
            )

    return _once(folder, PreparedDataset.open, make)


def _run(output: Path, dataset: PreparedDataset, model: str, seed: int) -> Run:
    folder = output / "runs" / model
    values: dict[str, Any] = {"epochs": _DVBPR_EPOCHS} if model == "dvbpr" else {}

    def make() -> Run:
        config = recommender_config(model, seed=seed, **values)
        with progress.training(f"Training {model}") as callbacks:
            return api.train(dataset, folder, config=config, callbacks=callbacks)

    return _once(folder, Run.open, make)


def _gan(output: Path, dataset: PreparedDataset, seed: int) -> GanRun:
    folder = output / "runs" / "gan"

    def make() -> GanRun:
        config = GanConfig.model_validate({**_GAN, "seed": seed})
        with progress.training("Training the GAN") as callbacks:
            return api.train_gan(dataset, folder, config=config, callbacks=callbacks)

    return _once(folder, GanRun.open, make)


def _report(
    output: Path,
    dataset: PreparedDataset,
    runs: dict[str, Run],
    gan: GanRun,
    figures: list[dict[str, Any]],
    *,
    seed: int,
    began: float,
) -> Path:
    from tfdvbpr.demo import checks, report
    from tfdvbpr.designing.designer import Designer

    run = runs["dvbpr"]
    designer = Designer(run, gan)
    with progress.status("Designing for several users"):
        users = report.design_for_users(designer, dataset, output / "designs", num_users=_SHOWN_USERS, seed=seed)
    with progress.status("Comparing designs with known preferences"):
        truth = read_truth(output / "garments")
        colours = checks.check_colours(run, gan, truth, num_users=_CHECKED_USERS, seed=seed)
    with progress.status("Exporting, serving, and comparing over gRPC"):
        models = output / "models"
        shutil.rmtree(models, ignore_errors=True)
        api.export_recommender(run, models / "recommender")
        api.export_designer(run, gan, models / "designer")
        user_ids, category = [user.user_id for user in users], users[0].category
        with checks.served([models / "recommender", models / "designer"]) as client:
            serving = checks.check_served(client, run, designer, users=user_ids, category=category)
    found = {"colours": asdict(colours), "serving": {**asdict(serving), "equal": serving.equal}}
    write_text(output / "checks.json", json.dumps(found, indent=2) + "\n")
    page = report.render(
        dataset=dataset,
        figures=figures,
        runs=runs,
        gan=gan,
        users=users,
        colours=colours,
        serving=serving,
        seconds=time.perf_counter() - began,
    )
    write_text(output / REPORT_NAME, page)
    progress.console.print(report.summary(colours, serving))
    return output / REPORT_NAME
