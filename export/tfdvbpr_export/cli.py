"""`tfdvbpr-export`: writes run folders as versioned SavedModels, shows and validates them."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from tfdvbpr._version import __version__
from tfdvbpr.errors import ConfigError, TfdvbprError
from tfdvbpr.files import is_disk_full
from tfdvbpr.terminal import PlainConsole, PlainFormatter
from tfdvbpr.text import one_line, printable
from tfdvbpr_export.options import Quantize, RecommenderOptions, Retrieval, ScannOptions

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Write trained runs as SavedModels for TensorFlow Serving or tfdvbpr-serve.",
    epilog="Next: [bold]tfdvbpr-serve models/recommender models/designer[/bold]",
)
_log = logging.getLogger("tfdvbpr_export")

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by `tfdvbpr train`.")]
Output = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="The model's folder, such as models/recommender. The export adds the next numbered version to it and "
        "replaces none. Servers name the model after this folder.",
    ),
]
Keep = Annotated[
    int | None,
    typer.Option(help="Keep this many of the newest versions and remove older ones. Default: keep all.", min=1),
]
VersionPath = Annotated[
    Path, typer.Argument(metavar="PATH", help="A version folder, or the model's folder for its newest version.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: [bold]tfdvbpr-export recommender runs/dvbpr --output models/recommender[/bold]")
def recommender(
    run: RunArgument,
    output: Output,
    keep: Keep = None,
    retrieval: Annotated[
        Retrieval,
        typer.Option(
            help="How the best items are found. brute-force is exact. scann is approximate, and many times faster from "
            "a million items on; it needs the extra scann here, and a server with its ops. The export measures its "
            "recall."
        ),
    ] = "brute-force",
    scann_leaves_to_search: Annotated[
        int,
        typer.Option(
            help="Of ScaNN's √items partitions, the number that each query searches: more find more and take longer. "
            "0: a twentieth.",
            min=0,
        ),
    ] = 0,
    quantize: Annotated[
        Quantize,
        typer.Option(
            help="Store item embeddings in 16 or 8 bits instead of 32, to save memory. The export measures the recall."
        ),
    ] = "none",
    max_k: Annotated[int, typer.Option(help="The most items in one ranking.", min=1)] = RecommenderOptions().max_k,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="NAME=EXPRESSION",
            help="A filter that requests can name, over the columns of items.csv, such as cheap='price < 50 and "
            "in_stock'; repeat for more.",
        ),
    ] = None,
) -> None:
    """Write a recommender run as a SavedModel.

    The model contains ids, categories, seen items, fold-in of new users and, for models that learn from pixels, image
    decoding. A server needs no other file. Warm-up requests, recorded answers and a model card are written beside it.
    """
    options = RecommenderOptions(
        retrieval=retrieval,
        quantize=quantize,
        scann=ScannOptions(num_leaves_to_search=scann_leaves_to_search),
        max_k=max_k,
        filters=tuple(map(_named_filter, filters or ())),
    )
    _load_tensorflow(output, keep)
    from tfdvbpr_export.recommender.heads import export_recommender

    _report(export_recommender(run, output, options=options, keep=keep))


@app.command(epilog="Example: [bold]tfdvbpr-export designer runs/dvbpr --gan runs/gan --output models/designer[/bold]")
def designer(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by `tfdvbpr train --model dvbpr`.")],
    gan: Annotated[Path, typer.Option(metavar="GAN_RUN", help="A folder made by `tfdvbpr train-gan`.")],
    output: Output,
    keep: Keep = None,
    candidates: Annotated[
        int, typer.Option(help="Random latents of a request; the most preferred of them become its starts.", min=1)
    ] = 256,
    starts: Annotated[
        int, typer.Option(help="Latents from which a request is ascended: the most designs of a request.", min=1)
    ] = 16,
    steps: Annotated[
        int,
        typer.Option(
            help="Gradient steps when a request names no number. The time of a request grows with starts × steps.",
            min=1,
        ),
    ] = 20,
    learning_rate: Annotated[float, typer.Option(help="Adam's learning rate on the latents.")] = 0.05,
) -> None:
    """Write a dvbpr run and a GAN run as a SavedModel that designs.

    Gradient ascent runs inside the model. User, category, number of designs, steps, seed and η come with each request.
    """
    _load_tensorflow(output, keep)
    from tfdvbpr.designing.options import DesignOptions
    from tfdvbpr_export.designer.heads import export_designer

    options = DesignOptions(num_candidates=candidates, num_starts=starts, num_steps=steps, learning_rate=learning_rate)
    _report(export_designer(run, gan, output, options=options, keep=keep))


@app.command(
    epilog="Example: [bold]tfdvbpr-export update-items runs/dvbpr autumn --new-run runs/dvbpr-autumn "
    "--output models/recommender[/bold]"
)
def update_items(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of a model that embeds items from their images.")],
    new_items: Annotated[
        Path, typer.Argument(metavar="NEW_ITEMS", help="A folder with items.csv and images, without interactions.")
    ],
    new_run: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Where to write the run with the larger catalogue, for later updates."),
    ],
    output: Output,
    dataset: Annotated[Path | None, typer.Option(help="The run's dataset, if it was moved.")] = None,
    keep: Keep = None,
) -> None:
    """Add new items to a served recommender without training.

    The trained networks embed the new items. Retrieval, bits and limits are those of the newest version in the output
    folder.
    """
    _load_tensorflow(output, keep)
    from tfdvbpr_export.recommender.heads import update_served_items

    _report(update_served_items(run, new_items, new_run, output, dataset=dataset, keep=keep))


@app.command(
    epilog="Example: [bold]tfdvbpr-export update-users runs/dvbpr today.csv --new-run runs/dvbpr-today "
    "--output models/recommender[/bold]"
)
def update_users(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A recommender run.")],
    interactions: Annotated[
        Path, typer.Argument(metavar="INTERACTIONS", help="A .csv or .parquet file with the columns user_id, item_id.")
    ],
    new_run: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where to write the run with the new users, for later updates.")
    ],
    output: Output,
    dataset: Annotated[Path | None, typer.Option(help="The run's dataset, if it was moved.")] = None,
    keep: Keep = None,
) -> None:
    """Add new users to a served recommender without training, by fold-in.

    Retrieval, bits and limits are those of the newest version in the output folder.
    """
    _load_tensorflow(output, keep)
    from tfdvbpr_export.recommender.heads import update_served_users

    _report(update_served_users(run, interactions, new_run, output, dataset=dataset, keep=keep))


@app.command(epilog="Example: [bold]tfdvbpr-export inspect models/recommender[/bold]")
def inspect(path: VersionPath) -> None:
    """Show the signatures of an exported model. Loads no TensorFlow."""
    from tfdvbpr_export.versions import read_manifest, version_at

    folder = version_at(path)
    manifest = read_manifest(folder)
    table = Table("signature", "inputs", "outputs")
    for number, (name, signature) in enumerate(manifest["signatures"].items()):
        title = name if number else f"{name}\n(serving_default)"
        table.add_row(title, _lines(signature["inputs"]), _lines(signature["outputs"]))
    console = PlainConsole()
    console.print(table)
    size = sum(manifest["files"].values()) / 1e6
    console.print(
        f"{folder}: {size:.1f} MB, written by TensorFlow {manifest['tensorflow_version']}",
        soft_wrap=True,
    )


@app.command(epilog="Example: [bold]tfdvbpr-export validate models/recommender[/bold]")
def validate(path: VersionPath) -> None:
    """Check that a version is fit to be served. The exit code is 0 if it is, 1 if not.

    A process that can import neither Keras nor this project loads the version, repeats the requests that the export
    recorded and compares the answers (to 1e-5, and 1/255 in images). Then it sends hostile requests: empty and uneven
    batches, unknown ids, broken and oversized images, extreme numbers. The model must refuse each or answer it with
    flags.
    """
    from tfdvbpr_export.validation import validate as check

    _log.info("Loading the model in a clean process.")
    result = check(path)
    table = Table("signature", "recorded", "largest difference", "hostile", "p50", "p99")
    for name, report in result.signatures.items():
        hostile = f"{report.refused} refused, {report.answered} flagged"
        times = (f"{report.p50_ms:.1f} ms", f"{report.p99_ms:.1f} ms")
        table.add_row(name, f"{report.requests}", f"{report.difference:.1e}", hostile, *times)
    console = PlainConsole()
    if result.signatures:
        console.print(table)
    for problem in result.problems:
        console.print(printable(f"PROBLEM {problem}"), soft_wrap=True)
    size = f"{result.num_bytes / 1e6:.1f} MB, loaded in {result.load_seconds:.1f} s"
    verdict = "fit to be served" if result.fit else f"NOT fit to be served: {len(result.problems)} problem(s)"
    console.print(f"{result.folder}: {size}; {verdict}.", soft_wrap=True)
    if not result.fit:
        raise typer.Exit(1)


def _load_tensorflow(output: Path, keep: int | None) -> None:
    """Says that TensorFlow is loaded, which takes seconds; refuses a wrong output before."""
    from tfdvbpr_export.versions import next_version

    next_version(output, keep=keep)
    _log.info("Loading TensorFlow.")


def _named_filter(text: str) -> tuple[str, str]:
    name, separator, where = text.partition("=")
    if not separator or not name.strip():
        raise ConfigError(f"--filter takes NAME=EXPRESSION, such as cheap='price < 50'. Received {text[:200]!r}.")
    return name.strip(), where.strip()


def _report(folder: Path) -> None:
    from tfdvbpr_export.versions import read_manifest

    inspect(folder)
    manifest: dict[str, Any] = read_manifest(folder)
    lines = []
    retrieval = manifest.get("retrieval", {})
    if "recall" in retrieval:
        recall = f"Recall@{retrieval['recall_k']} against the exact answer: {retrieval['recall']:.4f}"
        lines.append(f"{recall}, over {retrieval['recall_users']} users.")
    if retrieval.get("needs"):
        lines.append(f"The server needs the ops of {', '.join(retrieval['needs'])}; see serving/README.md.")
    lines += [
        f"Wrote version {folder.name} of the {manifest['served_as']} to {folder}.",
        f"Check it: tfdvbpr-export validate {folder}",
        f"Serve it: tfdvbpr-serve {folder.parent}",
    ]
    PlainConsole().print("\n".join(lines), soft_wrap=True)


def _lines(tensors: Mapping[str, str]) -> str:
    """One tensor a line, such as `scores float32 [B, ?]`."""
    return "\n".join(f"{name} {text}" for name, text in tensors.items())


def main() -> None:
    """The entry point: one line on stderr, exit code 2 for what the user can mend and 1 for the rest."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("tfdvbpr-export: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for package in ("tfdvbpr", "tfdvbpr_export"):
        logging.getLogger(package).setLevel(logging.INFO)
    try:
        app()
    except TfdvbprError as error:
        _stop(str(error), code=2)
    except Exception as error:
        if is_disk_full(error):
            _stop(f"There must be room to write. The disk is full ({error}). Make room and repeat it.", code=2)
        if os.environ.get("TFDVBPR_TRACEBACK"):
            print(printable(traceback.format_exc(), keep="\n"), file=sys.stderr)
        hint = "" if os.environ.get("TFDVBPR_TRACEBACK") else " (TFDVBPR_TRACEBACK=1 shows where)"
        _stop(f"{type(error).__name__}: {error}{hint}", code=1)


def _stop(message: str, *, code: int) -> None:
    print("tfdvbpr-export:", one_line(message), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
