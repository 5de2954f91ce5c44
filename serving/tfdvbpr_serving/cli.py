"""`tfdvbpr-serve`: serve exported models on this machine, over TensorFlow Serving's protocols."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from tfdvbpr_serving.errors import ModelLoadError, ServingError
from tfdvbpr_serving.models.folders import check_base_path
from tfdvbpr_serving.server.batching_options import BatchingOptions
from tfdvbpr_serving.server.limits import ServerLimits

if TYPE_CHECKING:
    from tfdvbpr_serving.models.versions import ModelSource
    from tfdvbpr_serving.server.server import LocalServer

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)

_EPILOG = (
    "Example: [bold]tfdvbpr-serve models/recommender models/designer --port 8500 --rest-port 8501[/bold]\n\n"
    "Then, in Python: [bold]from tfdvbpr_serving import Client[/bold] and "
    "[bold]Client('localhost:8500').recommend(['user-1'], k=5)[/bold]\n\n"
    "The same folders and configuration files can be mounted into the tensorflow/serving container; "
    "see serving/README.md."
)
_LIMITS = ServerLimits()


@app.command(epilog=_EPILOG)
def serve(
    model_folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="MODEL_FOLDER...",
            help="Folders written by tfdvbpr-export. Each holds numbered versions (recommender/1/saved_model.pb), of "
            "which the newest is served; the model's name is the folder's.",
            show_default=False,
        ),
    ] = None,
    models_config: Annotated[
        Path | None,
        typer.Option(
            help="Instead of folders: a models.config in TensorFlow Serving's text form, with version policies and "
            "labels. Relative base paths count from its folder.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="The gRPC port; 0 takes a free one.", min=0, max=65535)] = 8500,
    rest_port: Annotated[
        int | None,
        typer.Option(
            help="The port of REST and of Prometheus metrics (/monitoring/prometheus/metrics); 0 takes a free one. "
            "Without it: neither.",
            min=0,
            max=65535,
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 for every one. There is no authentication.")
    ] = "127.0.0.1",
    poll_seconds: Annotated[
        float, typer.Option(help="Look for newer versions this often, load them and switch over; 0 for never.", min=0)
    ] = 2.0,
    batching: Annotated[
        bool, typer.Option(help="Answer requests that wait at the same time as one batch. Designs never are.")
    ] = True,
    batching_config: Annotated[
        Path | None,
        typer.Option(
            help="A batching.config in TensorFlow Serving's text form: batch size, timeout, threads, queue.",
            show_default=False,
        ),
    ] = None,
    max_message_mb: Annotated[int, typer.Option(help="The largest request or answer, in MiB.", min=1, max=2047)] = (
        _LIMITS.max_message_bytes // 2**20
    ),
    max_image_pixels: Annotated[
        int, typer.Option(help="The largest picture, by its header, before it is decoded.", min=1)
    ] = _LIMITS.max_image_pixels,
    grace_seconds: Annotated[
        float, typer.Option(help="How long requests under way may take once the server is told to stop.", min=0)
    ] = 30.0,
) -> None:
    """Serve exported models on this machine, over TensorFlow Serving's gRPC and REST protocols.

    It answers as tensorflow_model_server does, reads the same configuration files, and runs until Ctrl-C or SIGTERM,
    when it lets the requests under way end. For development, tests and small shops.
    """
    if bool(model_folders) == (models_config is not None):
        raise ModelLoadError("Either MODEL_FOLDERs or --models-config must be given. Received both or neither.")
    named = _named(model_folders or [])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    console = Console()
    with console.status("Loading TensorFlow and the models"):
        server = _started(
            named,
            models_config,
            batching_config,
            batching=batching,
            port=port,
            rest_port=rest_port,
            host=host,
            poll_seconds=poll_seconds or None,
            limits=ServerLimits(max_message_bytes=max_message_mb * 2**20, max_image_pixels=max_image_pixels),
        )
    _run(server, console, grace_seconds=grace_seconds)


def _started(
    named: dict[str, Path],
    models_config: Path | None,
    batching_config: Path | None,
    *,
    batching: bool,
    port: int,
    rest_port: int | None,
    host: str,
    poll_seconds: float | None,
    limits: ServerLimits,
) -> LocalServer:
    """The server, with TensorFlow imported only here."""
    from tfdvbpr_serving.config.config_files import read_batching_config, read_models_config
    from tfdvbpr_serving.server.server import LocalServer

    options = BatchingOptions() if batching_config is None else read_batching_config(batching_config)
    models: dict[str, Path] | list[ModelSource] = named
    if models_config is not None:
        models = read_models_config(models_config)
    return LocalServer(
        models,
        port=port,
        rest_port=rest_port,
        host=host,
        batching=options if batching else None,
        limits=limits,
        poll_seconds=poll_seconds,
    ).start()


def _run(server: LocalServer, console: Console, *, grace_seconds: float) -> None:
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    table = Table("model", "version", "signatures")
    for model in server.models:
        table.add_row(model.name, str(model.version), ", ".join(model.signature_defs))
    console.print(table)
    rest = f" and {server.rest_url} (REST, metrics)" if server.rest_url else ""
    console.print(f"Serving on {server.target} (gRPC){rest}. Ctrl-C stops.", highlight=False, soft_wrap=True)
    while not stopping.wait(1.0):  # a timeout, so that signals are seen everywhere
        pass
    console.print("Stopping: no new requests, those under way may end.")
    server.stop(grace_seconds=grace_seconds)


def _named(model_folders: list[Path]) -> dict[str, Path]:
    models: dict[str, Path] = {}
    for folder in model_folders:
        name = folder.resolve().name
        if name in models:
            raise ModelLoadError(f"Model folders must have different names. Received {name!r} twice. Rename one.")
        check_base_path(name, folder)
        models[name] = folder
    return models


def main() -> None:
    """The entry point: one line on stderr and exit code 2 for what the user can mend."""
    try:
        app()
    except (ServingError, ValueError) as error:
        print("tfdvbpr-serve:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
