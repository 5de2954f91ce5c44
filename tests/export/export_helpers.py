"""A loaded export, and runs bent into other shapes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.design.options import DesignOptions, TailorOptions
from tfdvbpr.run import FACTORS_NAME, Run
from tfdvbpr_export.examples import filled

OPTIONS = DesignOptions(num_starts=3, num_steps=6)
TAILORING = TailorOptions(num_candidates=6, num_starts=2, invert_steps=5, num_steps=4)


@dataclass(frozen=True)
class Exported:
    """A version folder, and the SavedModel in it as TensorFlow loads it."""

    folder: Path
    model: Any

    def __call__(self, signature: str, **inputs: Any) -> dict[str, Any]:
        """The answer, with neutral values for what is not given."""
        function = self.model.signatures[signature]
        inputs = filled("recommend" if signature == "serving_default" else signature, **inputs)
        specs = function.structured_input_signature[1]
        tensors = {name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}
        for name, tensor in tensors.items():
            if tensor.shape.rank < specs[name].shape.rank:  # no rows, written as []
                tensors[name] = tf.zeros((0,) * specs[name].shape.rank, tensor.dtype)
        return {name: value.numpy() for name, value in function(**tensors).items()}


def loaded(folder: Path) -> Exported:
    return Exported(folder, tf.saved_model.load(str(folder)))


def with_factors(run: Run, folder: Path, **arrays: Any) -> Run:
    """A copy of a run with other factors."""
    shutil.copytree(run.path, folder)
    factors = run.factors
    kept = {name: getattr(factors, name) for name in ("user_embeddings", "item_embeddings", "item_biases")}
    np.savez(folder / FACTORS_NAME, **{**kept, **arrays})
    return Run.open(folder)
