"""The fields that every training run has, and how a field of a configuration is declared."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

# Which devices train, see `make_strategy`.
StrategyName = Literal["auto", "one-device", "mirrored", "multi-worker"]
# What to do with an earlier training of the same output, see `TrainingFolder`.
TrainingIfExists = Literal["error", "overwrite", "restart", "resume"]


def option(group: str, default: Any, description: str, **limits: Any) -> Any:
    """A field of a configuration.

    Args:
        group: the heading under which `tfdvbpr config` prints it.
        default: its value where nothing sets another.
        description: what it means, in the units and symbols of docs/reference/equations.md.
        **limits: of pydantic's `Field`, such as `ge=0`.
    """
    return Field(default, description=description, json_schema_extra={"group": group}, **limits)


class TrainingConfig(BaseModel):
    """What every training run has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = option("data", 0, "Seed of weights, batches and augmentation.", ge=0)
    epochs: int = option("optimizer", 20, "Passes over the data; see `batching` for what one is.", ge=1)
    learning_rate: float = option("optimizer", 1e-3, "Adam's step size for the network.", gt=0)
    final_learning_rate: float = option(
        "optimizer", 0.02, "Fraction of the step sizes left at the end of their cosine decay; 1 keeps them constant.",
        ge=0, le=1,
    )  # fmt: skip
    checkpoint_steps: int = option(
        "checkpoint", 0, "Steps between checkpoints, beside one each 30 seconds; 0 for those by the clock alone.", ge=0
    )

    # An interrupted training may be continued with other values: the weights do not depend on them.
    RUN_FIELDS: ClassVar[frozenset[str]] = frozenset({"checkpoint_steps"})
