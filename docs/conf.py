"""Sphinx configuration: `make docs`."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "export"), str(ROOT / "serving")]

project = "tfdvbpr"
author = "the tfdvbpr authors"
copyright = "2026, the tfdvbpr authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "tfdvbpr"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_use_rtype = False
# A shape such as [num_users, D] in a docstring is looked up as a name, and several classes have one.
suppress_warnings = ["ref.python"]
