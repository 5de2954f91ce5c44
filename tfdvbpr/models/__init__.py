"""Networks and baselines; they know nothing of files or servers. RECOMMENDERS lists the models by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

ModelKind = Literal["gradient", "closed-form"]

RECOMMENDERS: Mapping[str, ModelKind] = MappingProxyType(
    {
        "dvbpr": "gradient",
        "hybrid-dvbpr": "gradient",
        "vbpr": "gradient",
        "fm": "gradient",
        "siamese": "gradient",
        "bpr-mf": "gradient",
        "warp": "gradient",
        "visrank": "closed-form",
        "popularity": "closed-form",
    }
)

# θᵀΦ(X) from pixels: what design, explanation and served pictures need.
LEARNS_FROM_PIXELS = frozenset({"dvbpr", "hybrid-dvbpr"})

# A CNN that is trained with the rest.
USES_IMAGES = LEARNS_FROM_PIXELS | {"siamese"}

# Off-the-shelf features of the whole catalogue are put into these before they are trained.
USES_FEATURES = frozenset({"vbpr", "fm"})
