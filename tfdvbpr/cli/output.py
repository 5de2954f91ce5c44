"""What `--json` prints: one object on standard output, of one form for every command."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from pydantic import BaseModel

from tfdvbpr._version import __version__

JSON_VERSION = 1

JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the figures as one JSON object and nothing else on standard output, for other programs."
    ),
]


def print_json(command: str, result: Any) -> None:
    """Prints `{"json_version", "tfdvbpr", "command", "result"}`, in ASCII, so that a terminal shows it as it is.

    Args:
        command: such as "evaluate".
        result: figures: mappings, sequences, dataclasses, pydantic models, arrays, tables (a list of rows) and paths.
            Numbers that are not finite become null, for JSON has no others.
    """
    about = {"json_version": JSON_VERSION, "tfdvbpr": __version__, "command": command, "result": plain(result)}
    print(json.dumps(about, indent=2, allow_nan=False))


def plain(value: Any) -> Any:
    """The value in JSON's own types.

    Example:
        >>> plain({"auc": np.float32(0.5), "low": float("nan"), "folder": Path("runs")})
        {'auc': 0.5, 'low': None, 'folder': 'runs'}
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    elif is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    elif isinstance(value, pl.DataFrame):
        value = value.to_dicts()
    elif isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
