"""In what precision a network's passes are computed, and which is fastest here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.errors import ConfigError
from tfdvbpr.files import write_text
from tfdvbpr.models.backbones import BackboneOptions, build_backbone
from tfdvbpr.models.recommenders import RECOMMENDERS

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_KEPT = "precision.txt"
_GAIN = 1.1
_MOST_PICTURES = 128
_STEPS = 3


@contextmanager
def computing_in(network: keras.Model | None, precision: str) -> Iterator[None]:
    """Has a network that was built in float32 compute in another precision, in what is traced meanwhile.

    Its variables stay float32, and so does its last layer, of which the loss is a function. Nothing else changes: what
    is traced outside computes in float32, on the same weights.

    Args:
        network: its layers are switched; None for no network.
        precision: a Keras dtype policy.
    """
    leaves = [] if network is None or precision == "float32" else _leaves(network)[:-1]
    before = [leaf.dtype_policy for leaf in leaves]
    for leaf in leaves:
        leaf.dtype_policy = precision
    try:
        yield
    finally:
        for leaf, policy in zip(leaves, before, strict=True):
            leaf.dtype_policy = policy


def _leaves(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers that compute, in order."""
    if isinstance(layer, keras.Model):
        return [leaf for part in layer.layers for leaf in _leaves(part)]
    return [] if isinstance(layer, keras.layers.InputLayer) else [layer]


def loss_scaled(optimizer: Any, precision: str) -> Any:
    """The optimizer, behind Keras' dynamic loss scaling where float16's small range asks for it."""
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer


def settled_precision(
    config: RecommenderConfig,
    image_size: tuple[int, int],
    folder: Path | None,
    *,
    num_replicas: int = 1,
    share: Callable[[Callable[[], bytes]], bytes] = lambda take: take(),
    told: Callable[[str], None] = lambda line: None,
) -> RecommenderConfig:
    """The configuration with "auto" replaced by what is fastest on this device.

    Args:
        config: as it was asked for.
        image_size: (height, width) in pixels.
        folder: what is chosen is kept in it and found again, so that a training taken up goes on as it began; None on
            a worker that does not choose.
        num_replicas: parts of a global batch.
        share: has the chief call a function and gives every worker what it returned.
        told: takes a line for people.
    """
    if config.precision != "auto":
        return config

    def choose() -> bytes:
        kept = None if folder is None else folder / _KEPT
        found = kept.read_text(encoding="utf-8") if kept is not None and kept.is_file() else ""
        if found not in PRECISIONS:
            found = _fastest(config, image_size, num_replicas, told)
            if kept is not None:
                write_text(kept, found)
        return found.encode()

    return config.model_copy(update={"precision": share(choose).decode()})


def check_precision(config: RecommenderConfig, *, num_replicas: int = 1) -> None:
    """Refuses choices that would do nothing or cannot be made.

    Raises:
        ConfigError: naming the field.
    """
    if not RECOMMENDERS[config.model].uses_images and (
        config.precision not in ("float32", "auto") or config.jit_compile
    ):
        raise ConfigError(
            f"`precision` and `jit_compile` are those of a backbone, and {config.model} has none. Leave them out."
        )
    if config.jit_compile and num_replicas > 1:
        raise ConfigError(
            f"`jit_compile` must go with one replica: XLA cannot compile normalisation that is shared over "
            f"{num_replicas} of them. Set jit_compile=false."
        )


def _fastest(
    config: RecommenderConfig, image_size: tuple[int, int], num_replicas: int, told: Callable[[str], None]
) -> str:
    """Runs a few steps of the backbone in each precision; another than float32 has to be a tenth faster."""
    if not RECOMMENDERS[config.model].uses_images or config.backbone_trainable == "none":
        told("Precision: float32, for no network is trained on pictures.")
        return "float32"
    each = 1 if config.batching == "shared-item" else 1 + config.num_negatives
    pictures = max(1, min(each * config.global_batch_size // num_replicas, _MOST_PICTURES))
    options = BackboneOptions(
        embedding_dim=config.embedding_dim,
        dropout=config.dropout,
        pretrained=False,
        trainable=config.backbone_trainable,
    )
    network = build_backbone(config.backbone, image_size, options)
    tried = PRECISIONS if tf.config.list_logical_devices("GPU") else PRECISIONS[:2]
    seconds = {precision: _step_seconds(network, image_size, pictures, precision) for precision in tried}
    best = min(seconds, key=lambda precision: seconds[precision])
    chosen = best if seconds["float32"] > _GAIN * seconds[best] else "float32"
    figures = ", ".join(f"{precision} {1000 * spent:.0f} ms" for precision, spent in seconds.items())
    told(f"Precision: {chosen}; forward and backward of {pictures} pictures through {config.backbone}: {figures}.")
    return chosen


def _step_seconds(network: keras.Model, image_size: tuple[int, int], pictures: int, precision: str) -> float:
    """Seconds of a forward and a backward pass, the best of a few."""
    weights = [variable.value for variable in network.trainable_variables]

    @tf.function(autograph=False)
    def step(images: Any) -> Any:
        with computing_in(network, precision), tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(tf.cast(network(images, training=True), tf.float32)))
        return tf.add_n([tf.reduce_sum(gradient) for gradient in tape.gradient(loss, weights)])

    images = tf.random.stateless_uniform((pictures, *image_size, 3), (0, 0), -1.0, 1.0)
    float(step(images))
    spent = []
    for _ in range(_STEPS):
        began = time.perf_counter()
        float(step(images))
        spent.append(time.perf_counter() - began)
    return min(spent)
