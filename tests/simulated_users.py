"""Attributes that simulated users of the checkerboard are said to like."""

from __future__ import annotations

import numpy as np
import polars as pl


def known_attributes() -> pl.DataFrame:
    """Even users like red and stripes, odd ones blue and plain; all users like long shirts and low shoes."""
    even = np.arange(8) % 2 == 0
    return pl.DataFrame(
        {
            "user_id": [f"u{number}" for number in range(8)],
            "favourite_colours": [["red"] if each else ["blue"] for each in even],
            "pattern:striped": np.where(even, 1.0, 0.0),
            "pattern:plain": np.where(even, 0.0, 1.0),
            "cut:shirt:long": np.ones(8),
            "cut:shirt:short": np.zeros(8),
            "cut:shoe:high": np.zeros(8),
            "cut:shoe:low": np.ones(8),
        }
    )
