"""An ensemble of runs as a run: a folder that holds its members and answers with the mean of their scores."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import polars as pl

from tfdvbpr._version import __version__
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.models.recommenders.dvbpr import DVBPR
from tfdvbpr.models.recommenders.ensemble import Ensemble, ensemble_factors
from tfdvbpr.run import folder as files
from tfdvbpr.run.recommender_run import Run

MOST_MEMBERS = 16
_COPIED = (files.USERS_NAME, files.ITEMS_NAME, files.INTERACTIONS_NAME)
_OF_MEMBERS = (*_COPIED, files.MANIFEST_NAME, files.CONFIG_NAME, files.HISTORY_NAME, files.FACTORS_NAME)


def combine(runs: Sequence[Run], output: Path, *, if_exists: IfExists = "error") -> Run:
    """Writes an ensemble; arguments and errors are those of `tfdvbpr.ensemble`."""
    check_output(output, if_exists=if_exists)
    _check(runs)
    first = runs[0]
    dim = sum(run.config.embedding_dim for run in runs)
    changed = {
        "library_version": __version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "training_seconds": round(sum(run.manifest.training_seconds for run in runs), 1),
    }
    with whole_directory(output, if_exists=if_exists) as folder:
        config = first.config.model_copy(update={"embedding_dim": dim})
        history = pl.read_csv(first.path / files.HISTORY_NAME)
        files.write_run_header(folder, first.manifest.model_copy(update=changed), config, history)
        for name in _COPIED:
            shutil.copyfile(first.path / name, folder / name)
        ensemble_factors([run.factors for run in runs]).write(folder / files.FACTORS_NAME)
        for number, run in enumerate(runs):
            member = folder / files.MEMBERS_NAME / f"{number:02d}"
            member.mkdir(parents=True)
            for name in (*_OF_MEMBERS, files.WEIGHTS_NAME):
                shutil.copyfile(run.path / name, member / name)
    return Run.open(output)


def _check(runs: Sequence[Run]) -> None:
    if not 2 <= len(runs) <= MOST_MEMBERS:
        raise ConfigError(f"An ensemble must have 2 to {MOST_MEMBERS} members. Received {len(runs)}.")
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise ConfigError("The members of an ensemble must be different runs. One was given twice.")
    first = runs[0]
    for run in runs:
        run.check_is_no_ensemble("Name its members")
        kind, by_means = run.model_class, run.config.user_embeddings == "leave-one-out"
        if not issubclass(kind, DVBPR) or kind.has_factors or not by_means:
            raise RunError(
                f"A member of an ensemble must be a dvbpr run with user_embeddings leave-one-out. {run.path} is a "
                f"{run.manifest.model} run{'' if by_means else ' with free ones'}."
            )
        if run.manifest.dataset_fingerprint != first.manifest.dataset_fingerprint:
            raise RunError(
                f"The members of an ensemble must be of one dataset, {first.manifest.dataset_fingerprint}. {run.path} "
                f"is of {run.manifest.dataset_fingerprint}. Train it on the same dataset."
            )
    # Reads the weights, so that missing or damaged ones are refused now and not when the ensemble is used.
    Ensemble([run.recommender for run in runs])
