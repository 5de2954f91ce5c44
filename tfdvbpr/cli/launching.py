"""`tfdvbpr launch`."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer()


@app.command(
    epilog="Example: [bold]tfdvbpr launch --workers 2 -- train shop.dataset --output runs/dvbpr[/bold]",
)
def launch(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="train or train-gan, as usual.")],
    workers: Annotated[int, typer.Option(help="Processes that train together.", min=1)] = 2,
    restarts: Annotated[
        int, typer.Option(help="Start all again, from the last checkpoint, so many times after one failed.", min=0)
    ] = 0,
) -> None:
    """Train in several processes on this machine, as on several machines.

    Each process gets a TF_CONFIG of its own and prints with its number before each line. The global batch stays what
    the configuration says: each worker reads and computes its share, and the weights are those of one process but for
    rounding. If a worker fails the others are ended. On several machines start the same command on each with TF_CONFIG
    set; docs/guides/distributed-training.md has examples for Slurm and Kubernetes.
    """
    from tfdvbpr.training.distributed.launcher import launch as run

    def emit(line: str) -> None:
        print(line, flush=True)

    run(command, workers=workers, restarts=restarts, emit=emit)
