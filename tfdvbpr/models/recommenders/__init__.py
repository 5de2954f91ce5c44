"""Recommenders: one file a recommender, one entry in RECOMMENDERS; `recommender_config` resolves their configuration.

`base` says what an entry is, `pairwise` holds the parts that trained models are made of, `fold_in` embeds new users.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfdvbpr.config import RecommenderConfig, resolve_config
from tfdvbpr.errors import ConfigError, check_choice
from tfdvbpr.models.recommenders.base import Recommender
from tfdvbpr.registry import Registry

_HERE = "tfdvbpr.models.recommenders"

# Listing the names imports no Keras; looking one up imports what its file does.
RECOMMENDERS: Registry[type[Recommender]] = Registry(
    "tfdvbpr.recommenders",
    {},
    lazy={
        "dvbpr": f"{_HERE}.dvbpr:DVBPR",
        "hybrid-dvbpr": f"{_HERE}.dvbpr:HybridDVBPR",
        "vbpr": f"{_HERE}.feature_based:VBPR",
        "fm": f"{_HERE}.feature_based:FactorizationMachine",
        "siamese": f"{_HERE}.siamese:SiameseCNN",
        "bpr-mf": f"{_HERE}.bpr_mf:BPRMF",
        "warp": f"{_HERE}.bpr_mf:WARP",
        "visrank": f"{_HERE}.closed_form:VisRank",
        "ease": f"{_HERE}.item_item:EASE",
        "visual-ease": f"{_HERE}.visual_ease:VisualEASE",
        "item-knn": f"{_HERE}.item_item:ItemKNN",
        "ials": f"{_HERE}.ials:IALS",
        "popularity": f"{_HERE}.closed_form:Popularity",
    },
)


def recommender_config(
    model: str, *, preset: str | None = None, file: Path | None = None, overrides: Sequence[str] = (), **values: Any
) -> RecommenderConfig:
    """The configuration of a recommender: the model's defaults, then a preset, keyword values, `file` and `overrides`.

    Args:
        model: a name in RECOMMENDERS.
        preset: one of the model's; DVBPR has "paper" for the authors' hyper-parameters and CNN-F, and "pretrained" for
            a backbone with ImageNet weights and a head of ours.
        file: YAML mapping of field names to values.
        overrides: "key=value" strings.
        **values: fields by name.

    Raises:
        ConfigError: as `resolve_config`, or if the model is unknown or has no such preset.

    Example:
        >>> recommender_config("bpr-mf", embedding_dim=16).user_l2
        0.05
    """
    check_choice("model", model, RECOMMENDERS)
    kind = RECOMMENDERS[model]
    defaults = dict(kind.defaults)
    if preset is not None:
        if not kind.presets:
            raise ConfigError(f"`preset` must be left out for {model}, which has none. Received {preset!r}.")
        check_choice("preset", preset, kind.presets)
        defaults |= kind.presets[preset]
    defaults |= {**values, "model": model}
    config = resolve_config(RecommenderConfig, defaults=defaults, file=file, overrides=overrides)
    if config.model != model:
        raise ConfigError(f"`model` of the configuration must be {model}. Received {config.model}. Use that model.")
    return config
