"""What every training run has."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field


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
    checkpoint_epochs: int = Field(0, ge=0, description="And after each so many epochs; 0 never by epochs.")
    keep_checkpoints: int = Field(2, ge=1, description="The newest that are kept; a damaged one is skipped.")
    log_steps: int = Field(50, ge=0, description="A row of log.jsonl each so many steps, besides one an epoch; 0 none.")

    # What may differ when an interrupted training is taken up: the weights do not depend on it.
    RUN_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"checkpoint_seconds", "checkpoint_steps", "checkpoint_epochs", "keep_checkpoints", "log_steps"}
    )
