"""`tfdvbpr-serve`: serves exported models on this machine, over TensorFlow Serving's protocols."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from tfdvbpr._version import __version__
from tfdvbpr.terminal import PlainConsole, PlainFormatter
from tfdvbpr.text import one_line
from tfdvbpr_serving.config import (
    BatchingOptions,
    ModelSource,
    check_base_path,
    read_batching_config,
    read_models_config,
)
from tfdvbpr_serving.errors import ModelLoadError, ServerStartError, ServingError
from tfdvbpr_serving.server.access import Access, ServerTls, is_loopback, read_tokens
from tfdvbpr_serving.server.logs import FewerLines

if TYPE_CHECKING:
    from tfdvbpr_serving.server.server import LocalServer

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)

_log = logging.getLogger(__name__)

_GRACE_SECONDS = 30.0
_EPILOG = (
    "Example: [bold]tfdvbpr-serve models/recommender models/designer --rest-port 8501[/bold]\n\n"
    "Then, in Python: [bold]from tfdvbpr_serving import Client[/bold] and "
    "[bold]Client('localhost:8500').recommend(['user-1'], k=5)[/bold]\n\n"
    "The tensorflow/serving container serves the same folders and reads the same configuration files; "
    "see serving/README.md."
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tfdvbpr-serve {__version__}")
        raise typer.Exit


@app.command(epilog=_EPILOG)
def serve(
    model_folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="MODEL_FOLDER...",
            help="Folders written by tfdvbpr-export. Each holds numbered versions (recommender/1/saved_model.pb); the "
            "newest is served, under the folder's name.",
            show_default=False,
        ),
    ] = None,
    models_config: Annotated[
        Path | None,
        typer.Option(
            help="A models.config of TensorFlow Serving instead of folders, with version policies and labels. "
            "Relative base paths count from the file's folder.",
            show_default=False,
        ),
    ] = None,
    batching_config: Annotated[
        Path | None,
        typer.Option(
            help="A batching.config of TensorFlow Serving: batch size, timeout, threads, queue. Without it, requests "
            "that wait at the same time share a batch of up to 64 rows. Designs are never batched.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of gRPC; 0 takes a free one.", min=0, max=65535)] = 8500,
    rest_port: Annotated[
        int | None,
        typer.Option(
            help="Port of REST and of Prometheus metrics (/monitoring/prometheus/metrics); 0 takes a free one. "
            "Without it, there is neither.",
            min=0,
            max=65535,
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; 0.0.0.0 for all. One that other machines reach needs --token-file, or "
            "--allow-anonymous."
        ),
    ] = "127.0.0.1",
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            help="The server's certificate as a PEM file, with those of the authorities between; both ports then speak "
            "TLS. Needs --tls-key.",
            show_default=False,
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(help="The certificate's private key as a PEM file without a passphrase.", show_default=False),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="A file of tokens, one a line. Callers then need one of them: metadata or header 'authorization: "
            "Bearer TOKEN'. The health checks answer without.",
            show_default=False,
        ),
    ] = None,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Let callers of other machines in without a token.")
    ] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name by which REST may be reached, beside localhost, IP addresses and --host; may be given several "
            "times. Requests with another one in their Host header are refused.",
            show_default=False,
        ),
    ] = None,
    poll_seconds: Annotated[
        float, typer.Option(help="Look for newer versions this often, and serve them; 0 for never.", min=0)
    ] = 2.0,
    allow_reload: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="ROOT",
            help="Let callers replace the served models by others in this folder (HandleReloadConfigRequest); may be "
            "given several times. Without it, such requests are refused.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Serve exported models on this machine, over TensorFlow Serving's gRPC and REST protocols.

    Clients of TensorFlow Serving need no change. The server runs until Ctrl-C or SIGTERM, and then lets the requests in
    progress end. It is for development, tests and small shops; use TensorFlow Serving for more.
    """
    if bool(model_folders) == (models_config is not None):
        raise ModelLoadError("Either MODEL_FOLDERs or --models-config must be given. Received both or neither.")
    if (tls_cert is None) != (tls_key is None):
        raise ServerStartError("--tls-cert and --tls-key must be given together. Received one of them. Give both.")
    access = Access(
        tls=ServerTls(tls_cert, tls_key) if tls_cert and tls_key else None,
        tokens=read_tokens(token_file) if token_file else (),
        allowed_hosts=tuple(allowed_host or ()),
        allow_anonymous=allow_anonymous,
    )
    access.check_address(host)
    sources = _sources(model_folders or []) if models_config is None else read_models_config(models_config)
    batching = BatchingOptions() if batching_config is None else read_batching_config(batching_config)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it would write a line for whatever a caller does
    handler = logging.StreamHandler()
    handler.addFilter(FewerLines())
    handler.setFormatter(PlainFormatter("%(asctime)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    _raise_open_files()
    console = PlainConsole()
    if access.tokens and access.tls is None and not is_loopback(host):
        _log.warning("Tokens and requests cross the network unencrypted: give --tls-cert and --tls-key.")
    with console.status("Loading TensorFlow and the models"):
        from tfdvbpr_serving.server.server import LocalServer

        server = LocalServer(
            sources,
            port=port,
            rest_port=rest_port,
            host=host,
            access=access,
            batching=batching,
            poll_seconds=poll_seconds or None,
            allow_reload=allow_reload or (),
        ).start()
    _run(server, console)


def _raise_open_files() -> None:
    """As many open files as the system allows: each connection is one."""
    if sys.platform != "win32":
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _run(server: LocalServer, console: PlainConsole) -> None:
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    table = Table("model", "version", "signatures")
    for model in server.models:
        table.add_row(model.name, str(model.version), ", ".join(model.signature_defs))
    console.print(table)
    rest = f" and {server.rest_url} (REST, metrics)" if server.rest_url else ""
    console.print(f"Serving on {server.target} (gRPC){rest}. Ctrl-C stops.", soft_wrap=True)
    while not stopping.wait(1.0):  # a timeout, so that signals are seen everywhere
        pass
    console.print("Stopping: requests in progress may end, new ones are rejected.")
    server.stop(grace_seconds=_GRACE_SECONDS)


def _sources(model_folders: list[Path]) -> list[ModelSource]:
    sources: dict[str, ModelSource] = {}
    for folder in model_folders:
        name = folder.resolve().name
        if name in sources:
            raise ModelLoadError(f"Model folders must have different names. Received {name!r} twice. Rename one.")
        check_base_path(name, folder)
        sources[name] = ModelSource(name, folder)
    return list(sources.values())


def main() -> None:
    """The entry point. An error that the user can correct is one line on stderr and exit code 2."""
    try:
        app()
    except (ServingError, ValueError) as error:
        print("tfdvbpr-serve:", one_line(str(error)), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
