"""`tfdvbpr design`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfdvbpr.cli.options import Overwrite, RunArgument, out

app = typer.Typer()


@app.command(
    epilog="Example: [bold]tfdvbpr design runs/dvbpr --gan runs/gan --user u17 --category dress --output designs[/bold]"
)
def design(
    run: RunArgument,
    gan: Annotated[Path, typer.Option(metavar="GAN_RUN", help="A folder made by `tfdvbpr train-gan`.")],
    user: Annotated[str, typer.Option(help="A user id, as in the interactions.")],
    category: Annotated[str, typer.Option(help="A category name, as in the items.")],
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    count: Annotated[int, typer.Option(help="Designs to write.", min=1)] = 8,
    starts: Annotated[int, typer.Option(help="Random latents the ascent begins from.", min=1)] = 16,
    steps: Annotated[int, typer.Option(help="Gradient steps; the paper's code has 10.", min=1)] = 40,
    learning_rate: Annotated[float, typer.Option(help="Adam's step size on the latents.")] = 0.05,
    realism_weight: Annotated[float, typer.Option(help="η: weight of the penalty on unreal pictures.", min=0)] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the starts; the same seed gives the same designs.")] = 0,
    dataset: Annotated[Path | None, typer.Option(help="The run's dataset, if it has been moved.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Design new products of a category for a user.

    Ascends the generator's latent space toward the user's taste. Writes grid.png (start, steps, design, nearest real
    items), each design as a PNG, and designs.json with preference, realism and nearest items.
    """
    from tfdvbpr import progress
    from tfdvbpr.files import check_output
    from tfdvbpr.run import GanRun, Run

    check_output(output, overwrite=overwrite)
    opened, opened_gan = Run.open(run), GanRun.open(gan)
    opened.user_indices([user])
    opened_gan.category_id(category)
    with progress.console.status("Designing"):
        from tfdvbpr.design.folder import write_designs
        from tfdvbpr.design.maximize import DesignOptions
        from tfdvbpr.design.studio import Designer

        options = DesignOptions(
            num_starts=max(starts, count),
            num_steps=steps,
            learning_rate=learning_rate,
            realism_weight=realism_weight,
        )
        write_designs(
            Designer(opened, opened_gan, options=options),
            output,
            user_id=user,
            category=category,
            dataset=opened.open_dataset(dataset),
            seed=seed,
            count=count,
            overwrite=overwrite,
        )
    out.print(f"Designs for {user}: {output / 'grid.png'}", highlight=False)
