"""Sphinx configuration: `make docs`."""

import inspect
import os
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path[:0] = [str(ROOT), str(ROOT / "export"), str(ROOT / "serving")]

project = "tfdvbpr"
author = "the tfdvbpr authors"
copyright = "2026, the tfdvbpr authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # `make notebooks` runs them; the outputs are stored
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "tfdvbpr"
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
default_role = "literal"  # docstrings write `item_ids`
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_rtype = False
# A shape such as [num_users, D] in a docstring is looked up as a name, and several classes have one.
suppress_warnings = ["ref.python"]


def _add_fields(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Lists the fields of a configuration with their defaults and descriptions, as `tfdvbpr config` prints them."""
    if not (inspect.isclass(value) and issubclass(value, BaseModel)):
        return
    lines += ["", ":Fields:", ""]
    for field, info in value.model_fields.items():
        default = "required" if info.is_required() else f"``{info.get_default(call_default_factory=True)!r}``"
        lines.append(f"   - ``{field}`` ({default}): {(info.description or '').strip()}")
    lines.append("")


_ARRAY = re.compile(r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[~?numpy\.(\w+)\]\]")


def _short_signature(app: Any, what: str, name: str, value: Any, options: Any, signature: str, returns: str) -> Any:
    """Arrays as NDArray[float32]; no signature for a configuration, which would repeat its fields."""
    if inspect.isclass(value) and issubclass(value, BaseModel):
        return "(**fields)", None
    texts = (
        re.sub(r"=? ?<factory>", " = ...", _ARRAY.sub(r"NDArray[\1]", text or "")) for text in (signature, returns)
    )
    return tuple(text or None for text in texts)


def setup(app: Any) -> None:
    """Connects the two functions above."""
    app.connect("autodoc-process-docstring", _add_fields)
    app.connect("autodoc-process-signature", _short_signature)
