"""`tfdvbpr-export`: run folders to versioned SavedModels, and a look at what came out."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tfdvbpr.errors import ConfigError, TfdvbprError
from tfdvbpr_export.options import MOST_STEPS, DesignerLimits, Quantize, RecommenderOptions, Retrieval, ScannOptions
from tfdvbpr_export.versions import Version

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Write trained runs as SavedModels, which TensorFlow Serving or tfdvbpr-serve answers from.",
    epilog="Then: [bold]tfdvbpr-serve models/recommender models/designer[/bold]",
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by `tfdvbpr train`.")]
Output = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="The model's folder, such as models/recommender, which gets a new numbered version. Served models are "
        "named after their folders.",
    ),
]
VersionOption = Annotated[
    str,
    typer.Option(
        metavar="N|auto|timestamp",
        help="The number of the version; auto: the next; timestamp: seconds since 1970. None is ever replaced.",
    ),
]
Keep = Annotated[
    int | None, typer.Option(help="Keep this many of the newest versions and remove older ones. Default: all.", min=1)
]
VersionPath = Annotated[
    Path, typer.Argument(metavar="PATH", help="A version folder, or the folder above it for the newest.")
]
_LIMITS, _DEFAULTS = DesignerLimits(), RecommenderOptions()


@app.command(epilog="Example: [bold]tfdvbpr-export recommender runs/dvbpr --output models/recommender[/bold]")
def recommender(
    run: RunArgument,
    output: Output,
    version: VersionOption = "auto",
    keep: Keep = None,
    retrieval: Annotated[
        Retrieval,
        typer.Option(
            help="brute-force is exact. scann is approximate and many times faster from a million items on; it needs "
            "the extra scann here and a server with its ops. Its recall is measured."
        ),
    ] = "brute-force",
    quantize: Annotated[
        Quantize,
        typer.Option(help="Keep item embeddings in fewer bits: a half or a quarter of the memory; recall is measured."),
    ] = "none",
    scann_leaves: Annotated[
        int, typer.Option(help="Parts the catalogue is cut into. 0: about √items.", min=0, rich_help_panel="ScaNN")
    ] = 0,
    scann_search: Annotated[
        int, typer.Option(help="Parts a query looks into. 0: a twentieth.", min=0, rich_help_panel="ScaNN")
    ] = 0,
    scann_reorder: Annotated[
        int,
        typer.Option(
            help="Items scored exactly at the end, the most for k and what is left out together. 0: 1000.",
            min=0,
            rich_help_panel="ScaNN",
        ),
    ] = 0,
    max_k: Annotated[int, typer.Option(help="The most items a row of an answer gets.", min=1)] = _DEFAULTS.max_k,
    max_liked: Annotated[
        int, typer.Option(help="The most liked items a row of a request may name.", min=1)
    ] = _DEFAULTS.max_liked,
    max_pixels: Annotated[
        int, typer.Option(help="Larger pictures are refused unopened.", min=1)
    ] = _DEFAULTS.max_pixels,
) -> None:
    """Write a run as a SavedModel that recommends.

    Ids, categories, what each user has seen, fold-in and the decoding of pictures are inside; a server needs no other
    file. A warm-up request for every signature, recorded answers and a model card lie beside it.
    """
    options = RecommenderOptions(
        retrieval=retrieval,
        quantize=quantize,
        scann=ScannOptions(
            num_leaves=scann_leaves, num_leaves_to_search=scann_search, num_reordering_candidates=scann_reorder
        ),
        max_k=max_k,
        max_liked=max_liked,
        max_pixels=max_pixels,
    )
    with Console(stderr=True).status("Loading TensorFlow, tracing and saving the recommender"):
        from tfdvbpr_export.recommender.heads import export_recommender

        folder = export_recommender(run, output, options=options, version=_version(version), keep=keep)
    _report(folder)


@app.command(epilog="Example: [bold]tfdvbpr-export designer runs/dvbpr --gan runs/gan --output models/designer[/bold]")
def designer(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder made by `tfdvbpr train --model dvbpr`.")],
    gan: Annotated[Path, typer.Option(metavar="GAN_RUN", help="A folder made by `tfdvbpr train-gan`.")],
    output: Output,
    version: VersionOption = "auto",
    keep: Keep = None,
    starts: Annotated[
        int, typer.Option(help="Latents a request begins from; each gives a design, best first.", min=1)
    ] = 16,
    steps: Annotated[
        int, typer.Option(help="Gradient steps where a request does not say; time grows with starts × steps.", min=1)
    ] = 40,
    learning_rate: Annotated[float, typer.Option(help="Of Adam, on the latents.")] = 0.05,
    initial_stddev: Annotated[float, typer.Option(help="Standard deviation of the latents it begins from.")] = 0.5,
    realism_weight: Annotated[
        float, typer.Option(help="η: what looking real counts against preference, where a request does not say.")
    ] = 1.0,
    max_steps: Annotated[
        int, typer.Option(help="The most gradient steps of a request.", min=1, max=MOST_STEPS)
    ] = _LIMITS.max_steps,
    max_pixels: Annotated[int, typer.Option(help="Larger pictures are refused unopened.", min=1)] = _LIMITS.max_pixels,
) -> None:
    """Write a dvbpr run and a GAN run as a SavedModel that designs.

    The gradient loop runs inside the model. Whom for, category, number, steps, seed and η come with each request.
    """
    with Console(stderr=True).status("Loading TensorFlow, tracing and saving the designer"):
        from tfdvbpr.designing.options import DesignOptions
        from tfdvbpr_export.designer.heads import export_designer

        options = DesignOptions(
            num_starts=starts,
            num_steps=steps,
            learning_rate=learning_rate,
            initial_stddev=initial_stddev,
            realism_weight=realism_weight,
        )
        limits = DesignerLimits(max_steps=max(max_steps, steps), max_pixels=max_pixels)
        folder = export_designer(run, gan, output, options=options, limits=limits, version=_version(version), keep=keep)
    _report(folder)


@app.command(
    epilog="Example: [bold]tfdvbpr-export update-items runs/dvbpr autumn --new-run runs/dvbpr-autumn "
    "--output models/recommender[/bold]"
)
def update_items(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of a model that knows an item by its picture.")],
    new_items: Annotated[
        Path, typer.Argument(metavar="NEW_ITEMS", help="A folder with items.csv and pictures; no interactions.")
    ],
    new_run: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The run with the larger catalogue, for the next update.")
    ],
    output: Output,
    dataset: Annotated[Path | None, typer.Option(help="Where the run's dataset lies now, if it was moved.")] = None,
    version: VersionOption = "auto",
    keep: Keep = None,
) -> None:
    """Export a larger catalogue: new items are embedded by the networks as they are. Nothing is trained.

    Index, bits and limits are those of the newest version in the output folder.
    """
    with Console(stderr=True).status("Loading TensorFlow, embedding and saving"):
        from tfdvbpr_export.recommender.updating import update_served_items

        folder = update_served_items(
            run, new_items, new_run, output, dataset=dataset, version=_version(version), keep=keep
        )
    _report(folder)


@app.command(epilog="Example: [bold]tfdvbpr-export inspect models/recommender[/bold]")
def inspect(path: VersionPath) -> None:
    """Show the signatures of a SavedModel as a table. Loads no TensorFlow."""
    from tfdvbpr_export.validation.inspecting import inspect_version

    found = inspect_version(path)
    table = Table("signature", "inputs", "outputs")
    for name, signature in found.signatures.items():
        table.add_row(name, _listed(signature.inputs), _listed(signature.outputs))
    console = Console()
    console.print(table)
    console.print(
        f"{found.folder}: {found.num_bytes / 1e6:.1f} MB, written by TensorFlow {found.tensorflow_version}",
        highlight=False,
        soft_wrap=True,
    )


@app.command(epilog="Example: [bold]tfdvbpr-export validate models/recommender --max-megabytes 500[/bold]")
def validate(
    path: VersionPath,
    max_megabytes: Annotated[float | None, typer.Option(help="Fail above this size of all files.")] = None,
    max_latency_ms: Annotated[float | None, typer.Option(help="Fail where a signature's median is slower.")] = None,
) -> None:
    """Try a version before it is served: exit code 0 if it is fit, 1 if not.

    A process that can import neither Keras nor this project loads it, asks every signature what was asked at export and
    holds the answers against the recorded ones (1e-5; 1/255), then asks the impossible: empty and uneven batches,
    unknown ids, broken pictures and bombs, extreme numbers. Each must be refused as such, or answered with flags.
    """
    from tfdvbpr_export.validation.validate import validate as validated

    with Console(stderr=True).status("Asking the model in a clean process"):
        found = validated(path, max_megabytes=max_megabytes, max_latency_ms=max_latency_ms)
    table = Table("signature", "recorded", "largest difference", "hostile", "p50", "p99")
    for name, told in found.signatures.items():
        hostile = f"{told.refused} refused, {told.answered} flagged"
        times = (f"{told.p50_ms:.1f} ms", f"{told.p99_ms:.1f} ms")
        table.add_row(name, f"{told.requests}", f"{told.difference:.1e}", hostile, *times)
    console = Console()
    if found.signatures:
        console.print(table)
    for problem in found.problems:
        console.print(f"PROBLEM {problem}", highlight=False, markup=False, soft_wrap=True)
    size = f"{found.num_bytes / 1e6:.1f} MB, loaded in {found.load_seconds:.1f} s"
    verdict = "fit to be served" if found.fit else f"NOT fit to be served: {len(found.problems)} problem(s)"
    console.print(f"{found.folder}: {size}; {verdict}.", highlight=False, soft_wrap=True)
    if not found.fit:
        raise typer.Exit(1)


def _version(text: str) -> Version:
    if text in ("auto", "timestamp"):
        return "auto" if text == "auto" else "timestamp"
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"`version` must be a number, auto or timestamp. Received {text!r}.") from None


def _report(folder: Path) -> None:
    from tfdvbpr_export.saving import read_manifest

    inspect(folder)
    told = read_manifest(folder)
    console = Console()
    retrieval = told.get("retrieval", {})
    if "recall" in retrieval:
        line = f"Recall@{retrieval['recall_k']} against the exact answer: {retrieval['recall']:.4f}"
        console.print(f"{line}, over {retrieval['recall_users']} users.", highlight=False)
    if retrieval.get("needs"):
        console.print(
            f"Its server needs the ops of {', '.join(retrieval['needs'])}: serving/README.md.", highlight=False
        )
    model = told["served_as"]
    console.print(f"Wrote version {folder.name} of the {model} to {folder}.", highlight=False, soft_wrap=True)
    console.print(f"Try it: tfdvbpr-export validate {folder}", highlight=False, soft_wrap=True)
    console.print(f"Serve it: tfdvbpr-serve {folder.parent}", highlight=False, soft_wrap=True)


def _listed(tensors: Mapping[str, str]) -> str:
    """One tensor a line, such as `scores float32 [B, ?]`."""
    return "\n".join(f"{name} {text}" for name, text in tensors.items()).replace("[", "\\[")


def main() -> None:
    """The entry point: one line on stderr, exit code 2 for what the user can mend and 1 for the rest."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.WARNING, format="tfdvbpr-export: %(message)s")
    try:
        app()
    except TfdvbprError as error:
        _stop(str(error), code=2)
    except Exception as error:
        if os.environ.get("TFDVBPR_TRACEBACK"):
            traceback.print_exc()
        hint = "" if os.environ.get("TFDVBPR_TRACEBACK") else " (TFDVBPR_TRACEBACK=1 shows where)"
        _stop(f"{type(error).__name__}: {error}{hint}", code=1)


def _stop(message: str, *, code: int) -> None:
    print("tfdvbpr-export:", " ".join(message.split()), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
