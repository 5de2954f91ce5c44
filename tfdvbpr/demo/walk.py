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
from tfdvbpr.config import GanConfig, gan_config
from tfdvbpr.data.dataset import MANIFEST_NAME, PreparedDataset
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.data.synthetic.source import read_truth
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.errors import ConfigError, OutputExistsError
from tfdvbpr.evaluation.ranking.evaluate import table_rows
from tfdvbpr.files import IfExists, write_text
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import GanRun, Run

MODELS = ("popularity", "visrank", "bpr-mf", "dvbpr")
MARKER_NAME = "demo.json"
REPORT_NAME = "report.html"
_IMAGE_SIZE = 64
_DVBPR_EPOCHS = 30
# Enough actions that patterns and cuts can be learned too, which weigh less than colours.
_USERS = {"actions_per_user": (12, 48)}
# Narrow and few steps: minutes on 2 cores. A garment's pattern begins anywhere, so textures are compared.
_GAN: dict[str, Any] = {
    "steps": 1100,
    "latent_dim": 32,
    "base_channels": 16,
    "discriminator_channels": 32,
    "warmup": 0.4,
    "pull": "textures",
}
# What the preset default has beside a pretrained discriminator.
_WITHOUT_WEIGHTS: dict[str, Any] = {
    "generator": "conditional",
    "learning_rate": 1e-3,
    "pull_weight": 10.0,
    "flip": False,
}
_CHECKED_USERS = 150
_CHECKED = DesignOptions(num_starts=4)
_SHOWN_USERS = 3

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
                importer_options={**_USERS, "keep_source": output / "garments"},
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
        config = gan_settings(seed=seed)
        with progress.training("Training the GAN") as callbacks:
            return api.train_gan(dataset, folder, config=config, callbacks=callbacks)

    return _once(folder, GanRun.open, make)


def gan_settings(*, seed: int) -> GanConfig:
    """The demo's GAN: the preset `default` where its discriminator's weights are installed, `plain` otherwise.

    Says so in the latter case.
    """
    from tfdvbpr.models.backbones.efficientnet_lite import lite_weights_file
    from tfdvbpr.models.gans import DISCRIMINATORS

    network = DISCRIMINATORS[gan_config("default").discriminator].pretrained_backbone
    try:
        lite_weights_file(str(network))
    except ConfigError as error:
        progress.console.print(f"The GAN is of the preset plain, whose images are blurrier. {error}")
        return gan_config("plain", seed=seed, **_GAN, **_WITHOUT_WEIGHTS)
    return gan_config("default", seed=seed, **_GAN)


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
    from tfdvbpr.evaluation.designs.attribute_reader import AttributeReader

    run = runs["dvbpr"]
    designer, truth = Designer(run, gan), read_truth(output / "garments")
    with progress.status("Designing for several users"):
        users = report.design_for_users(designer, dataset, truth, output / "designs", num_users=_SHOWN_USERS, seed=seed)
    with progress.counting("Training a reader of colours, patterns and cuts") as count:
        reader = AttributeReader.of(dataset, progress=count)
    with progress.status("Comparing designs with known preferences"):
        preferences = checks.check_preferences(
            run, gan, truth, reader, num_users=_CHECKED_USERS, options=_CHECKED, seed=seed
        )
    with progress.status("Exporting, serving, and comparing over gRPC"):
        models = output / "models"
        shutil.rmtree(models, ignore_errors=True)
        api.export_recommender(run, models / "recommender")
        api.export_designer(run, gan, models / "designer")
        user_ids, category = [user.user_id for user in users], users[0].category
        with checks.served([models / "recommender", models / "designer"]) as client:
            serving = checks.check_served(client, run, designer, users=user_ids, category=category)
    found = {"preferences": asdict(preferences), "serving": {**asdict(serving), "equal": serving.equal}}
    write_text(output / "checks.json", json.dumps(found, indent=2) + "\n")
    page = report.render(
        dataset=dataset,
        figures=figures,
        runs=runs,
        gan=gan,
        users=users,
        preferences=preferences,
        serving=serving,
        starts=designer.options.num_starts,
        seconds=time.perf_counter() - began,
    )
    write_text(output / REPORT_NAME, page)
    progress.console.print(report.summary(preferences, serving))
    return output / REPORT_NAME
