"""One file a source; each turns what it finds into a `Source`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tfdvbpr.data.importers.amazon_reviews_2023 import read_amazon_reviews_2023
from tfdvbpr.data.importers.dvbpr_npy import read_dvbpr_npy
from tfdvbpr.data.importers.fashion_mnist import read_fashion_mnist
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.importers.hm import read_hm
from tfdvbpr.data.preparation.source import Source

IMPORTERS: dict[str, Callable[[Path], Source]] = {
    "folder": read_folder,
    "dvbpr-npy": read_dvbpr_npy,
    "fashion-mnist": read_fashion_mnist,
    "amazon-reviews-2023": read_amazon_reviews_2023,
    "hm": read_hm,
}

__all__ = [
    "IMPORTERS",
    "read_amazon_reviews_2023",
    "read_dvbpr_npy",
    "read_fashion_mnist",
    "read_folder",
    "read_hm",
]
