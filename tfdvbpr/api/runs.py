"""From runs to recommendations, explanations, new items and exports.

An export runs `tfdvbpr-export` in a process of its own, for TensorFlow Recommenders needs Keras 2 there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdvbpr.api.training import opened_gan, opened_run
from tfdvbpr.errors import RunError, TfdvbprError
from tfdvbpr.files import IfExists
from tfdvbpr.run import GanRun, Run

if TYPE_CHECKING:
    from tfdvbpr.run.bulk import BulkResult
    from tfdvbpr.run.explanation import Explanation

_USER_ERROR = 2


def recommend(
    run: Run | Path | str,
    output: Path | str,
    *,
    users: Sequence[str] | Path | None = None,
    k: int = 50,
    where: str | None = None,
    category: str | None = None,
    exclude_items: Sequence[str] | Path = (),
    exclude_seen: bool = True,
    if_exists: IfExists = "error",
    progress: Callable[[int, int], None] | None = None,
) -> BulkResult:
    """Writes the best items of many users into one file; `Run.recommend` answers for one user.

    Works in blocks, on all cores and in bounded memory. After an interruption the same call continues with the users
    that are missing. Users are in the order of the run.

    Args:
        run: a recommender run or its folder.
        output: a file to make. .parquet and .csv have a row an item, with user_id, rank (from 1), item_id and score;
            .jsonl has an object a user, with user_id, item_ids and scores. Text in a .csv that a spreadsheet would
            compute begins with an apostrophe.
        users: ids, or a .csv or .parquet file with a column user_id; left out, every user of the run.
        k: items a user, at most 10,000; fewer where fewer are left.
        where: only items that this filter over the columns of items.csv keeps, such as `price < 50 and in_stock`; see
            `tfdvbpr.data.filters.matching_items`.
        category: only items of this category.
        exclude_items: ids, or a file with a column item_id.
        exclude_seen: leave out what each user has acted on.
        if_exists: "error", or "overwrite" to replace a file that is already there.
        progress: called with (users done, in all).

    Raises:
        ConfigError: if the ending of `output`, `k` or the filter is wrong.
        UnknownIdError: if the run does not know an id of a list, or the category. Unknown ids in files are left out
            and listed.
        SourceError: if a file of ids cannot be read.
        OutputExistsError: if `output` is already there, or another process writes it.
        DiskFullError: if there is no room to write; the parts that are done stay.

    Example:
        >>> result = tfdvbpr.recommend("runs/dvbpr", "mail.parquet", k=20, where="in_stock")  # doctest: +SKIP
    """
    from tfdvbpr.run.bulk import recommend_all

    return recommend_all(
        opened_run(run),
        Path(output),
        users=users,
        k=k,
        where=where,
        category=category,
        exclude_items=exclude_items,
        exclude_seen=exclude_seen,
        if_exists=if_exists,
        progress=progress,
    )


def update_items(
    run: Run | Path | str,
    new_items: Path | str,
    output: Path | str,
    *,
    columns: Mapping[Any, Collection[str]] | None = None,
    dataset: Path | str | None = None,
    if_exists: IfExists = "error",
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Adds new items to a run's catalogue, without training; see `tfdvbpr.run.new_items`.

    Args:
        run: a run or its folder, of a model that embeds items by their images.
        new_items: a folder with items.csv or .parquet and images.
        output: the run folder to make; the larger dataset goes into it.
        columns: by our name, the names that the table has in its place: {"item_id": ["sku"]}.
        dataset: where the run's dataset is now, if it has been moved.
        if_exists: whether to replace a folder that is already there.
        progress: called with (images read, in all).

    Raises:
        RunError: if the model cannot embed an item by its image.
        DatasetError: if the run's dataset is gone or another.
        SourceError: if no new item can be used.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.run import new_items as room

    return room.update_items(
        opened_run(run),
        Path(new_items),
        Path(output),
        columns=columns,
        dataset=dataset,
        if_exists=if_exists,
        progress=progress,
    )


def ensemble(runs: Sequence[Run | Path | str], output: Path | str, *, if_exists: IfExists = "error") -> Run:
    """Combines dvbpr runs into one, which scores by the mean of their scores, and designs and is exported as any other.

    What several networks prefer is preferred by another one that nobody ascended more often than what one network
    prefers. An ascent takes as many passes through Φ as there are members.

    Args:
        runs: 2 to 16 different ones of one dataset, with leave-one-out user embeddings; best of other seeds, sizes and
            backbones. They are copied.
        output: the run folder to make.
        if_exists: whether to replace a folder that is already there.

    Raises:
        ConfigError: if there are too few or too many runs, or one is given twice.
        RunError: if a run is of another model or dataset, or its weights cannot be read.
        OutputExistsError: if `output` holds something already.

    Example:
        >>> both = ensemble(["runs/dvbpr", "runs/dvbpr-1"], "runs/both")  # doctest: +SKIP
        >>> design(both, "runs/gan", "designs", user_ids=["u17"], category="dress")  # doctest: +SKIP
    """
    from tfdvbpr.run.ensemble import combine

    return combine([opened_run(run) for run in runs], Path(output), if_exists=if_exists)


def update_users(
    run: Run | Path | str,
    interactions: Path | str,
    output: Path | str,
    *,
    dataset: Path | str | None = None,
    if_exists: IfExists = "error",
) -> Run:
    """Adds new users to a run by fold-in, without training; see `tfdvbpr.run.new_users`.

    Args:
        run: a recommender run or its folder.
        interactions: a .csv or .parquet file with user_id and item_id. Actions of users whom the run knows and on items
            that it does not know are left out and listed in the new run's left_out.csv.
        output: the run folder to make; the dataset with the new users' actions goes into it.
        dataset: where the run's dataset is now, if it has been moved.
        if_exists: whether to replace a folder that is already there.

    Raises:
        DatasetError: if the run's dataset is gone or another.
        SourceError: if the file cannot be read, or has no action of a new user.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.run import new_users as room

    return room.update_users(opened_run(run), Path(interactions), Path(output), dataset=dataset, if_exists=if_exists)


def explain(
    run: Run | Path | str,
    user_id: str,
    item_ids: Sequence[str],
    *,
    output: Path | str | None = None,
    baseline: str = "white",
    steps: int = 64,
    dataset: Path | str | None = None,
) -> list[Explanation]:
    """Explains items' scores for a user by their pixels and by the user's liked items.

    Integrated gradients, Sundararajan et al. 2017; see `tfdvbpr.run.explanation`.

    Args:
        run: a dvbpr, hybrid-dvbpr or siamese run or its folder.
        user_id: as in the interactions.
        item_ids: what to explain.
        output: a PNG of the heat maps; left out, none is written.
        baseline: "white" or "blurred": the image without information.
        steps: gradients per image.
        dataset: where the run's dataset is now, if it has been moved.

    Raises:
        RunError: if the model does not learn from pixels.
        UnknownIdError: if the run does not know the user or an item.
        ConfigError: if there is no such baseline.
    """
    from tfdvbpr.run import explanation

    opened = opened_run(run)
    explanation.check_explained(opened)
    images = opened.open_dataset(dataset)
    explanations = explanation.explain(opened, user_id, item_ids, dataset=images, baseline=baseline, steps=steps)
    if output is not None:
        visual = opened.factors.user_embeddings.shape[1] > opened.config.embedding_dim
        title = f"The score{', its visual part,' if visual else ''} of user {user_id}"
        explanation.write_explanations(Path(output), explanations, dataset=images, title=title, baseline=baseline)
    return explanations


def export_recommender(run: Run | Path | str, output: Path | str, **options: str | int | Sequence[str]) -> Path:
    """Writes a run as the next version of a served recommender; see `tfdvbpr-export recommender --help`.

    Args:
        run: a recommender run or its folder.
        output: the model's base path.
        **options: of the command, with underscores: `retrieval="scann"`, `quantize="int8"`, `max_k=100`, `keep=3`,
            `filter=["cheap=price < 50", "in_stock=in_stock"]`.

    Returns:
        The version folder.

    Raises:
        TfdvbprError: with the command's message, for what the caller can correct.
        RunError: if `run` is no recommender run, or the export failed for another reason.

    Example:
        >>> tfdvbpr.export_recommender("runs/dvbpr", "models/recommender", keep=3)  # doctest: +SKIP
        PosixPath('models/recommender/1')
    """
    return _export("recommender", [str(opened_run(run).path), "--output", str(output)], options, Path(output))


def export_designer(run: Run | Path | str, gan_run: GanRun | Path | str, output: Path | str, **options: float) -> Path:
    """Writes a run and a GAN run as the next version of a served designer; see `tfdvbpr-export designer --help`.

    Args:
        run: a recommender run that learns from pixels, or its folder.
        gan_run: a GAN run or its folder.
        output: the model's base path.
        **options: of the command, with underscores: `starts=8`, `steps=40`, `learning_rate=0.1`, `keep=3`.

    Returns and raises what `export_recommender` does.

    Example:
        >>> tfdvbpr.export_designer("runs/dvbpr", "runs/gan", "models/designer", starts=8)  # doctest: +SKIP
        PosixPath('models/designer/1')
    """
    arguments = [str(opened_run(run).path), "--gan", str(opened_gan(gan_run).path), "--output", str(output)]
    return _export("designer", arguments, options, Path(output))


def _export(kind: str, arguments: list[str], options: Mapping[str, Any], output: Path) -> Path:
    for name, values in options.items():
        for value in [values] if isinstance(values, str | int | float) else values:
            arguments += [f"--{name.replace('_', '-')}", str(value)]
    command = [sys.executable, "-m", "tfdvbpr_export.cli", kind, *arguments]
    # The process gets the import path of this one.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        message = (done.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("tfdvbpr-export: ")
        if done.returncode == _USER_ERROR:
            raise TfdvbprError(message)
        raise RunError(f"Exporting the {kind} failed: {message}")
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("Wrote version "):
            return output / line.split()[2]
    raise RunError(f"tfdvbpr-export must name the version it wrote. It wrote {done.stdout[-200:]!r}. Try the command.")
