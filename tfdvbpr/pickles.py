"""Reading pickles that somebody else wrote: nothing is called that the reader has not named."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from tfdvbpr.errors import SourceError


class _Restricted(pickle.Unpickler):
    def __init__(
        self,
        file: BinaryIO,
        allowed: Mapping[str, Any],
        *,
        encoding: str,
        persistent_load: Callable[[Any], Any] | None,
    ) -> None:
        super().__init__(file, encoding=encoding)
        self._allowed = allowed
        self._persistent_load = persistent_load

    def find_class(self, module: str, name: str) -> Any:
        """The one way by which a pickle reaches code."""
        asked = f"{module}.{name}"
        if asked not in self._allowed:
            known = ", ".join(["plain containers", *sorted(self._allowed)])
            raise SourceError(
                f"A pickle from outside may ask for {known} alone. This one asks for {asked}, which could run code. "
                "It was not read; do not trust the file."
            )
        return self._allowed[asked]

    def persistent_load(self, pid: Any) -> Any:
        """What the pickle keeps outside of itself."""
        if self._persistent_load is None:
            raise SourceError("A pickle from outside may not refer to other storage. This one does. It was not read.")
        return self._persistent_load(pid)


def load_restricted(
    file: BinaryIO,
    allowed: Mapping[str, Any],
    *,
    encoding: str = "ASCII",
    persistent_load: Callable[[Any], Any] | None = None,
) -> Any:
    """One object from an open pickle, building plain containers and what `allowed` names.

    Args:
        file: open for reading, at the pickle's first byte; left after its last.
        allowed: from "module.name" as the pickle spells it to what is used in its place.
        encoding: of Python 2 strings; "bytes" leaves them alone.
        persistent_load: reads what the pickle refers to by a persistent id; left out, such pickles are refused.

    Raises:
        SourceError: if the pickle asks for anything else, or is broken.
    """
    try:
        return _Restricted(file, allowed, encoding=encoding, persistent_load=persistent_load).load()
    except SourceError:
        raise
    except Exception as error:  # a broken pickle can fail in any way that its opcodes can
        raise SourceError(
            f"The pickle must be whole. It cannot be read: {type(error).__name__}: {error}. Fetch the file again."
        ) from None
