"""Which recommender is trained where none is named: one rule, by the size and density of the catalogue."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import ceil
from typing import Any, NamedTuple, Protocol

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders import RECOMMENDERS, recommender_config
from tfdvbpr.models.recommenders.base import DatasetFacts
from tfdvbpr.models.recommenders.item_weights import MOST_DENSE

DENSE = 100
"""Training actions an item from which on item-item weights have the better lists; docs/results has the evidence."""

_NETWORK = "efficientnet_lite0_pyramid"
_SMALLEST_SIDE = 32  # pixels; `features` enlarges smaller images, a backbone does not
_FEWEST_STEPS, _FEWEST_EPOCHS, _BATCH = 120, 12, 512
_log = logging.getLogger(__name__)


class CatalogueFacts(DatasetFacts, Protocol):
    """What the rule takes of a dataset; its manifest has it."""

    @property
    def num_train(self) -> int:
        """Training actions."""


class Choice(NamedTuple):
    """A recommender, values of its configuration, and the reason in words."""

    model: str
    values: dict[str, Any]
    reason: str


def choose(facts: CatalogueFacts, *, imagenet: bool) -> Choice:
    """The rule: `visual-ease` where items have at least `DENSE` training actions on average, else `hybrid-dvbpr`.

    `hybrid-dvbpr` is also for what could not be exported as item-item weights, (users + items) × items above 2²⁸. Both
    take EfficientNet-Lite0 where its weights are installed; the hybrid is then trained for 12 epochs of 512 items, on
    small catalogues for as many as make 120 steps.

    Args:
        facts: of the dataset.
        imagenet: whether the weights of EfficientNet-Lite0 are installed.
    """
    density = facts.num_train / max(facts.num_items, 1)
    about = f"there are {density:.1f} training actions an item"
    fits = (facts.num_users + facts.num_items) * facts.num_items <= MOST_DENSE
    if density >= DENSE and fits:
        return Choice("visual-ease", {"features": _NETWORK} if imagenet else {}, f"{about}, at least {DENSE}")
    reason = f"{about}, fewer than {DENSE}" if density < DENSE else f"{about}, but too many users and items to export"
    if not imagenet or min(facts.image_size) < _SMALLEST_SIDE:
        return Choice("hybrid-dvbpr", {}, reason)
    epochs = max(_FEWEST_EPOCHS, ceil(_FEWEST_STEPS / max(ceil(facts.num_items / _BATCH), 1)))
    values = {"preset": "pretrained", "epochs": epochs, "evaluate_every": max(3, epochs // 8)}
    return Choice("hybrid-dvbpr", values, reason)


def default_config(facts: CatalogueFacts, *, overrides: Sequence[str] = ()) -> RecommenderConfig:
    """The configuration of what `choose` chooses; log lines say what it is, why, and what to give instead.

    Args:
        facts: of the dataset, such as its manifest.
        overrides: "key=value" strings, laid over it.

    Raises:
        ConfigError: as `recommender_config`.

    Example:
        >>> default_config(PreparedDataset.open("shop.dataset").manifest).model  # doctest: +SKIP
        'visual-ease'
    """
    imagenet = _has_imagenet()
    model, values, reason = choose(facts, imagenet=imagenet)
    config, kind = recommender_config(model, overrides=overrides, **values), RECOMMENDERS[model]
    network = config.backbone if kind.uses_images else config.features
    better = "" if imagenet else " (better: pip install 'tfdvbpr[pretrained]')"
    _log.info("Training %s with %s%s: %s. --model or --preset takes another.", model, network, better, reason)
    if not kind.scores_images:
        _log.info("%s cannot design: for that give --preset pretrained, or --model dvbpr.", model)
    return config


def _has_imagenet() -> bool:
    from tfdvbpr.models.backbones.efficientnet_lite import lite_weights_file

    try:
        lite_weights_file("efficientnet_lite0")
    except ConfigError:
        return False
    return True
