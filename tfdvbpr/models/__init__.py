"""Networks and baselines; they know nothing of files or servers. RECOMMENDERS lists the models by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

ModelKind = Literal["gradient", "closed-form"]

RECOMMENDERS: Mapping[str, ModelKind] = MappingProxyType(
    {"dvbpr": "gradient", "bpr-mf": "gradient", "popularity": "closed-form", "visrank": "closed-form"}
)
