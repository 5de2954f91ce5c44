"""A loaded export, and runs bent into other shapes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.run import FACTORS_NAME, Run


@dataclass(frozen=True)
class Exported:
    """A version folder, and the SavedModel in it as TensorFlow loads it."""

    folder: Path
    model: Any

    def __call__(self, signature: str, **inputs: Any) -> dict[str, Any]:
        function = self.model.signatures[signature]
        dtypes = {name: spec.dtype for name, spec in function.structured_input_signature[1].items()}
        tensors = {name: tf.constant(value, dtypes[name]) for name, value in inputs.items()}
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
