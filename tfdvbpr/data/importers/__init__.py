"""Importers, one file a source. IMPORTERS lists them; each class has its own options and returns a `Source`."""

from __future__ import annotations

from tfdvbpr.data.importers.amazon_reviews_2023 import AmazonReviews2023Importer
from tfdvbpr.data.importers.dvbpr_npy import DvbprNpyImporter
from tfdvbpr.data.importers.fashion_mnist import FashionMnistImporter
from tfdvbpr.data.importers.folder import FolderImporter
from tfdvbpr.data.importers.hm import HmImporter
from tfdvbpr.data.preparation.source import Importer
from tfdvbpr.data.synthetic.source import SyntheticImporter
from tfdvbpr.registry import Registry

IMPORTERS: Registry[type[Importer]] = Registry(
    "tfdvbpr.importers",
    {
        "folder": FolderImporter,
        "amazon-reviews-2023": AmazonReviews2023Importer,
        "hm": HmImporter,
        "dvbpr-npy": DvbprNpyImporter,
        "fashion-mnist": FashionMnistImporter,
        "synthetic": SyntheticImporter,
    },
)
