"""What every training run has."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

# Which devices train, see `make_strategy`.
StrategyName = Literal["auto", "one-device", "mirrored", "multi-worker"]
# What to do with an earlier training of the same output, see `TrainingFolder`.
TrainingIfExists = Literal["error", "overwrite", "restart", "resume"]


class TrainingConfig(BaseModel):
    """What every training run has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, description="Seeds weights, batches and augmentation.")
    epochs: int = Field(20, ge=1, description="Passes over the data; see `batching` for what one is.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's step size for the network.")
    final_learning_rate: float = Field(
        0.02, ge=0, le=1, description="Fraction left at the end of a cosine decay; 1 is none."
    )
    checkpoint_seconds: float = Field(
        30.0, ge=0, description="A checkpoint after so many seconds, also within an epoch; 0 never by the clock."
    )
    checkpoint_steps: int = Field(0, ge=0, description="And after each so many steps; 0 never by steps.")

    # An interrupted training may be continued with other values: the weights do not depend on them.
    RUN_FIELDS: ClassVar[frozenset[str]] = frozenset({"checkpoint_seconds", "checkpoint_steps"})
