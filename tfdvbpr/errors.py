"""The errors a caller can mend. The command line prints one line for them and exits with 2."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tfdvbpr.suggestions import nearest

_MOST_LISTED, _SHOWN = 15, 6


class TfdvbprError(ValueError):
    """What must hold, what came, what to do: the base of this library's own errors."""


class SourceError(TfdvbprError):
    """A source cannot be imported at all: a missing file, a wrong header, nothing left."""


class DatasetError(TfdvbprError):
    """A prepared dataset is missing, damaged or of another version."""


class RunError(TfdvbprError):
    """A run folder is missing, damaged, of another version or of the wrong kind."""


class ConfigError(TfdvbprError):
    """A configuration value is unknown or out of range."""


class UnknownIdError(TfdvbprError):
    """A user, item or category id that the run has never seen."""


class DiskFullError(TfdvbprError):
    """There is no room to write; the last checkpoint is whole."""


class LostWorkerError(TfdvbprError):
    """Another process of a training on several is gone."""


class OutputExistsError(TfdvbprError):
    """The place to write to already holds something."""


def unknown_id(kind: str, received: str, known: Iterable[str]) -> UnknownIdError:
    """The error for one unknown id, with the nearest known ones in the sentence.

    Args:
        kind: "user", "item" or "category".
        received: what the caller gave.
        known: every id there is; the first few stand as examples where none is near.
    """
    names = list(known)
    near = nearest(received, names[:5_000]) or names[:5]
    return UnknownIdError(
        f"`{kind}` must be one of the {len(names)} known ids. Received {received!r}. "
        f"Nearest: {', '.join(map(repr, near))}."
    )


def check_choice(name: str, received: str, choices: Collection[str]) -> None:
    """Refuse a name that is none of the choices.

    Raises:
        ConfigError: naming the field, the choices (the first of them where there are many) and the nearest.
    """
    if received in choices:
        return
    names = list(choices)
    more = f" or one of {len(names) - _SHOWN} more" if len(names) > _MOST_LISTED else ""
    known = ", ".join(names[:_SHOWN] if more else names)
    near = ", ".join(nearest(received, names))
    raise ConfigError(
        f"`{name}` must be one of {known}{more}. Received {received!r}.{f' Nearest: {near}.' * bool(near)}"
    )
