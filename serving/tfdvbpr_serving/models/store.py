"""Versions of models: those on disk, those that are loaded, and the one that serves a request."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from tfdvbpr_serving.config import ModelSource, check_base_path, version_folders
from tfdvbpr_serving.errors import ModelLoadError
from tfdvbpr_serving.models.loading import LoadedModel
from tfdvbpr_serving.server.requests import RequestError, invalid_argument, not_found

Load = Callable[[str, int, Path], LoadedModel]

_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 2.0, 300.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Failure:
    """A version that cannot be loaded: attempts so far, when its saved_model.pb was written, when to try again."""

    attempts: int
    written: int
    retry_at: float

    def due(self, written: int) -> bool:
        """Whether to try again: the file is another one, or the time has come."""
        return written != self.written or time.monotonic() >= self.retry_at


class _Served:
    """A model and its versions. `loaded` is replaced and never modified, so that requests read it without a lock."""

    def __init__(self, source: ModelSource) -> None:
        self.source = source
        self.loaded: Mapping[int, LoadedModel] = {}
        self.states: dict[int, tuple[str, str]] = {}  # state and error of every version, also of former ones
        self.failed: dict[int, _Failure] = {}  # wanted versions
        self.listed = True  # False while its folder cannot be read

    @property
    def newest(self) -> LoadedModel | None:
        """The version for a request that names none."""
        loaded = self.loaded
        return loaded[max(loaded)] if loaded else None


class ModelStore:
    """The models of a server, in the versions of their policies.

    Safe to use from many threads. A version is served only when it is loaded and warm, and the version before it is
    dropped only when its last request has ended. `ModelLoadError` if there is no model, or one has no version folder.

    Attributes:
        failures: how often the versions of a model could not be listed or one could not be loaded, by model.
    """

    def __init__(self, sources: Iterable[ModelSource], *, load: Load) -> None:
        self._load = load
        self._changing = threading.Lock()  # held while versions are listed and loaded
        self._dropped = False  # since the last garbage collection
        self.failures: Counter[str] = Counter()
        self._served = {source.name: _Served(source) for source in sources}
        if not self._served:
            raise ModelLoadError("There must be a model to serve. Received none. Name at least one model folder.")
        for served in self._served.values():
            check_base_path(served.source.name, served.source.base_path)

    def load_all(self) -> None:
        """Loads every wanted version that is not loaded yet.

        `ModelLoadError` if one cannot be loaded, or a label names a version that is not.
        """
        with self._changing:
            for served in self._served.values():
                error = self._refresh(served)
                if error is not None:
                    raise error
                _check_labels(served.source, served.loaded)

    def poll(self) -> None:
        """Loads new versions. Whatever goes wrong is logged and counted, and the versions before stay.

        A version that cannot be loaded, which may still be being copied, is tried again after 2 seconds, then 4, and at
        last every 5 minutes.
        """
        with self._changing:
            if self._dropped:
                self._dropped = False
                gc.collect()  # a SavedModel in Python is full of cycles; here it delays no request for long
            for name, served in self._served.items():
                try:
                    self._refresh(served)
                    served.listed = True
                except Exception:
                    self.failures[name] += 1
                    if served.listed:  # the first time; later ones are counted
                        _log.exception("%s: its versions cannot be listed", name)
                    served.listed = False

    @property
    def complete(self) -> bool:
        """Whether every model has a loaded version."""
        return all(served.loaded for served in self._served.values())

    @property
    def current(self) -> bool:
        """Whether every wanted version on disk is loaded, as far as the last poll knows."""
        return all(served.listed and not served.failed for served in self._served.values())

    def reload(self, sources: Iterable[ModelSource]) -> None:
        """Serves these models instead: loads what is new, then drops what is no longer named.

        `RequestError` if a model cannot be loaded or a label names no loaded version; nothing changes then. It does not
        tell which folders exist: the log does.
        """
        with self._changing:
            try:
                table = {source.name: self._prepared(source) for source in sources}
            except Exception as error:
                _log.warning("A configuration is rejected: %s", error)
                raise RequestError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    "Every model of a configuration must have versions that can be loaded, and its labels must name "
                    "such versions. One does not. Nothing is changed. See the server's log.",
                ) from error
            before, self._served = self._served, table
            kept = {id(model) for served in table.values() for model in served.loaded.values()}
            for name, served in before.items():
                for model in served.loaded.values():
                    if id(model) not in kept:
                        self._retire(table.get(name, served), model)

    def _prepared(self, source: ModelSource) -> _Served:
        check_base_path(source.name, source.base_path)
        served = _Served(source)
        old = self._served.get(source.name)
        if old is not None and old.source.base_path == source.base_path:
            wanted = set(source.policy.wanted(version_folders(source.base_path)))
            served.loaded = {version: model for version, model in old.loaded.items() if version in wanted}
            served.states = dict(old.states)
        error = self._refresh(served)
        if error is not None:
            raise error
        _check_labels(source, served.loaded)
        return served

    def models(self) -> list[LoadedModel]:
        """Every loaded version."""
        return [model for served in self._served.values() for model in served.loaded.values()]

    def newest(self) -> list[LoadedModel]:
        """The served versions for requests that name none."""
        return [served.newest for served in self._served.values() if served.newest is not None]

    def acquire(self, name: str, *, version: int | None = None, label: str | None = None) -> LoadedModel:
        """The version for a request; `release` it afterwards.

        `RequestError`: NOT_FOUND, if there is no such model or version; INVALID_ARGUMENT, for an unknown label.
        """
        while True:
            served = self._served.get(name)
            if served is None:
                known = ", ".join(self._served)
                raise not_found(f"Servable not found for request: Latest({name}). Served here: {known}.")
            model = self._chosen(served, version, label)
            if model.acquire():
                return model
            # It was retired since the look-up, so the table has another one now.

    def _chosen(self, served: _Served, version: int | None, label: str | None) -> LoadedModel:
        name, loaded = served.source.name, served.loaded
        if label is not None:
            if label not in served.source.labels:
                known = ", ".join(served.source.labels) or "none"
                raise invalid_argument(
                    f"Unrecognized servable version label: {label}. The labels of {name!r}: {known}."
                )
            version = served.source.labels[label]
        model = served.newest if version is None else loaded.get(version)
        if model is None:
            listed = ", ".join(map(str, sorted(loaded))) or "none"
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise not_found(f"Servable not found for request: {wanted}. Loaded versions: {listed}.")
        return model

    def states(self, name: str, *, version: int | None = None, label: str | None = None) -> dict[int, tuple[str, str]]:
        """State and error of each version of a model, newest first, or of one: LOADING, AVAILABLE, UNLOADING or END.

        `RequestError` NOT_FOUND, if there is no such model or version.
        """
        served = self._served.get(name)
        if served is None:
            raise not_found(f"Could not find any versions of model {name}. Served here: {', '.join(self._served)}.")
        if label is not None:
            version = self._chosen(served, None, label).version
        states = dict(sorted(dict(served.states).items(), reverse=True))
        if version is None:
            return states
        if version not in states:
            raise not_found(f"Could not find version {version} of model {name}. There are: {sorted(states)}.")
        return {version: states[version]}

    def _refresh(self, served: _Served) -> ModelLoadError | None:
        """Loads new wanted versions, then retires unwanted ones; the first error, if any."""
        folders = version_folders(served.source.base_path)
        wanted = served.source.policy.wanted(folders)
        served.failed = {version: failure for version, failure in served.failed.items() if version in wanted}
        first_error: ModelLoadError | None = None
        for version in wanted:
            if version not in served.loaded:
                error = self._load_version(served, version, folders[version])
                first_error = first_error or error
        loaded = [version for version in wanted if version in served.loaded]
        # Without a loaded wanted version the old ones stay: the folder may be missing for a moment.
        for version in [v for v in served.loaded if v not in wanted] if loaded else []:
            model = served.loaded[version]
            served.loaded = {v: m for v, m in served.loaded.items() if v != version}
            self._retire(served, model)
        return first_error

    def _load_version(self, served: _Served, version: int, folder: Path) -> ModelLoadError | None:
        name = served.source.name
        written = (folder / "saved_model.pb").stat().st_mtime_ns
        failure = served.failed.get(version)
        if failure is not None and not failure.due(written):
            return None
        served.states[version] = ("LOADING", "")
        try:
            model = self._load(name, version, folder)
        except Exception as error:
            self.failures[name] += 1
            attempts = 1 if failure is None else failure.attempts + 1
            wait = min(_FIRST_RETRY_SECONDS * 2 ** (attempts - 1), _LAST_RETRY_SECONDS)
            served.failed[version] = _Failure(attempts, written, time.monotonic() + wait)
            served.states[version] = ("END", f"Version {version} cannot be loaded. See the server's log.")
            _log.error("%s: version %d cannot be loaded, next attempt in %.0f s: %s", name, version, wait, error)
            if isinstance(error, ModelLoadError):
                return error
            return ModelLoadError(f"Version {version} of {name!r} must be loadable. Received: {error!r}.")
        served.failed.pop(version, None)
        served.loaded = {**served.loaded, version: model}
        served.states[version] = ("AVAILABLE", "")
        _log.info("%s: version %d is now served", name, version)
        return None

    def _retire(self, served: _Served, model: LoadedModel) -> None:
        served.states[model.version] = ("UNLOADING", "")

        def unloaded() -> None:
            served.states[model.version] = ("END", "")
            _log.info("%s: version %d is unloaded", model.name, model.version)
            self._dropped = True

        model.retire(unloaded)


def _check_labels(source: ModelSource, loaded: Mapping[int, LoadedModel]) -> None:
    for label, version in source.labels.items():
        if version not in loaded:
            raise ModelLoadError(
                f"The label {label!r} of {source.name!r} must name a version that is served. Received {version}; "
                f"served are {sorted(loaded)}. Correct models.config, or its model_version_policy."
            )
