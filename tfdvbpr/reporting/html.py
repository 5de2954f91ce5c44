"""What HTML pages are made with: escaping templates, and images and plots that stand in the page itself."""

from __future__ import annotations

import base64
import io
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from PIL import Image

from tfdvbpr.text import printable

# Readable on white and on black.
INK, ACCENT, SECOND = "#857e73", "#c8553d", "#4a86b8"


def render(package: str, template: str, **values: Any) -> str:
    """A page from a template of a package; texts are escaped, and control characters are shown as escapes.

    Args:
        package: such as "tfdvbpr.reporting".
        template: a file name ending in .html.jinja.
        **values: the template's variables; one that is missing is an error.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value, keep="\n") if type(value) is str else value,
    )
    return environment.from_string((files(package) / template).read_text(encoding="utf-8")).render(**values)


def data_uri(kind: str, data: bytes) -> str:
    """A file within the page, such as `data:image/png;base64,...`."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def png_uri(image: npt.NDArray[np.uint8]) -> str:
    """An image, uint8 [H, W, 3], within the page."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return data_uri("image/png", buffer.getvalue())


def axes(title: str = "", *, size: tuple[float, float] = (5.2, 3.0)) -> tuple[Any, Any]:
    """A Matplotlib figure of a size in inches and its axes, in the style of the pages."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    one = figure.add_subplot()
    one.set_title(title, color=INK, fontsize=10)
    style(one)
    return figure, one


def style(one: Any) -> None:
    """Axes without a frame, in a colour for light and dark pages."""
    one.spines[["top", "right"]].set_visible(False)
    one.spines[["left", "bottom"]].set_color(INK)
    one.tick_params(colors=INK, which="both")
    one.patch.set_alpha(0.0)


def svg_uri(figure: Any) -> str:
    """A Matplotlib figure as SVG within the page, its ground transparent."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True)
    return data_uri("image/svg+xml", buffer.getvalue())
