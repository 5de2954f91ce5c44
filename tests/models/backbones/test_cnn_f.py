from __future__ import annotations

import keras
import numpy as np

from tfdvbpr.models.backbones import BackboneOptions, build_backbone


def test_cnn_f_is_the_papers_at_224() -> None:
    with keras.device("cpu"):
        model = build_backbone("cnn_f", (224, 224), BackboneOptions(embedding_dim=100, dropout=0.5))
    kernels = [tuple(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")]
    assert kernels == [
        (11, 11, 3, 64),
        (5, 5, 64, 256),
        (3, 3, 256, 256),
        (3, 3, 256, 256),
        (3, 3, 256, 256),
        (12_544, 4_096),
        (4_096, 4_096),
        (4_096, 100),
    ]
    sizes = [layer.output.shape[1:3] for layer in model.layers if "conv" in layer.name or "pool" in layer.name]
    assert [height for height, _ in sizes] == [56, 28, 28, 14, 14, 14, 14, 7]
    by_hand = sum(int(np.prod(kernel)) + kernel[-1] for kernel in kernels)
    assert model.count_params() == by_hand == 70_778_724
