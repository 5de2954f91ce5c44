"""Configurations: how a field is declared, the fields of every training run, how values are resolved and printed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tfdvbpr.config.yaml_text import load_yaml
from tfdvbpr.errors import ConfigError
from tfdvbpr.suggestions import nearest
from tfdvbpr.text import shortened

# Which devices train, see `make_strategy`.
StrategyName = Literal["auto", "one-device", "mirrored", "multi-worker"]
# What to do with an earlier training of the same output, see `TrainingFolder`.
TrainingIfExists = Literal["error", "overwrite", "restart", "resume"]


def option(group: str, default: Any, description: str, **limits: Any) -> Any:
    """A field of a configuration, described in the units and symbols of docs/reference/equations.md.

    `group` is the heading under which `tfdvbpr config` prints it, `limits` are those of pydantic's `Field` such as
    `ge=0`.
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


Config = TypeVar("Config", bound=BaseModel)


def resolve_config(
    kind: type[Config],
    *,
    defaults: Mapping[str, Any] | None = None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
) -> Config:
    """Lay a YAML file and KEY=VALUE pairs over the defaults, and validate the whole.

    Args:
        kind: the configuration class.
        defaults: values under everything else.
        file: YAML mapping of field names to values.
        overrides: "key=value" strings; the value is read as YAML.

    Raises:
        ConfigError: if the file cannot be read, a key is unknown or a value out of range.
    """
    values = {**(defaults or {}), **given_fields(file, overrides)}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_sentence(kind, error)) from None


def given_fields(file: Path | None, overrides: Sequence[str]) -> dict[str, Any]:
    """Values by field name of a YAML file, and over them those of "key=value" strings.

    Raises:
        ConfigError: if the file cannot be read, or as `parse_overrides`.
    """
    return {**({} if file is None else _read_yaml(file)), **parse_overrides(overrides)}


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Values by field name from "key=value" strings; each value is read as YAML.

    Raises:
        ConfigError: if a string has no "=", or its value is no YAML.
    """
    values: dict[str, Any] = {}
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator:
            raise ConfigError(f"--set takes KEY=VALUE. Received {override!r}.")
        values[key.strip().replace("-", "_")] = load_yaml(value)
    return values


def dump_yaml(config: TrainingConfig) -> str:
    """The configuration as YAML, every field written out."""
    text: str = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    return text


def describe_yaml(config: TrainingConfig) -> str:
    """The configuration as YAML by group, each value below its description as a comment.

    `resolve_config` reads the text back as the same configuration.
    """
    values, fields = config.model_dump(mode="json"), type(config).model_fields
    own = [name for name in type(config).__annotations__ if name in fields]
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys([*own, *fields]):
        field = fields[name]
        extra = field.json_schema_extra
        group = str(extra.get("group", "other")) if isinstance(extra, dict) else "other"
        comment = textwrap.wrap(str(field.description), 118, initial_indent="# ", subsequent_indent="# ")
        value = yaml.safe_dump({name: values[name]}, default_flow_style=False, width=1000).rstrip()
        groups.setdefault(group, []).append("\n".join([*comment, value]))
    titled = [f"# == {group}\n\n" + "\n\n".join(parts) for group, parts in groups.items()]
    return "\n\n\n".join(titled) + "\n"


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = load_yaml(Path(file).read_text(encoding="utf-8"))
    except (OSError, ConfigError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"--config must name a YAML file. {file} cannot be read: {first}.") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{file} must hold a mapping of field names to values. Received {type(values).__name__}.")
    return values


def _sentence(kind: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        near = nearest(name, kind.model_fields)
        known = f"Nearest: {', '.join(near)}." if near else f"Known: {', '.join(sorted(kind.model_fields))}."
        return f"`{name}` is no field of the configuration. {known}"
    return f"`{name}` has a wrong value: {first['msg']}. Received {shortened(repr(first['input']), 200)}."
