"""Importers, one file a source. IMPORTERS lists them; each class has its own options and returns a `Source`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfdvbpr.registry import Registry

if TYPE_CHECKING:
    from tfdvbpr.data.preparation.source import Importer

_HERE = "tfdvbpr.data.importers"

IMPORTERS: Registry[type[Importer]] = Registry(
    "tfdvbpr.importers",
    {},
    lazy={
        "folder": f"{_HERE}.folder:FolderImporter",
        "amazon-reviews-2023": f"{_HERE}.amazon_reviews_2023:AmazonReviews2023Importer",
        "hm": f"{_HERE}.hm:HmImporter",
        "dvbpr-npy": f"{_HERE}.dvbpr_npy:DvbprNpyImporter",
        "fashion-mnist": f"{_HERE}.fashion_mnist:FashionMnistImporter",
        "synthetic": "tfdvbpr.data.synthetic.source:SyntheticImporter",
    },
)
