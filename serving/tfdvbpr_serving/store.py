"""Which versions of which models there are on disk, and which of them are loaded."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path

import grpc

from tfdvbpr_serving.errors import ModelLoadError
from tfdvbpr_serving.folders import check_base_path, version_folders
from tfdvbpr_serving.models import LoadedModel, RequestError, load_model

_log = logging.getLogger(__name__)


class ModelStore:
    """The models of a server: the newest version of each, older ones when a request names them.

    Safe to use from many threads. A newer version takes over only when it is loaded and warm.

    Args:
        base_paths: by served name; each holds numbered version folders.

    Raises:
        ModelLoadError: if there is no model, or one has no version folder.
    """

    def __init__(self, base_paths: Mapping[str, Path]) -> None:
        if not base_paths:
            raise ModelLoadError("There must be a model to serve. Received none. Name at least one model folder.")
        self._base_paths = dict(base_paths)
        self._lock = threading.Lock()  # held while loading
        self._loaded: dict[str, dict[int, LoadedModel]] = {name: {} for name in base_paths}
        self._newest: dict[str, LoadedModel] = {}
        self._failed: dict[tuple[str, int], str] = {}
        for name, path in self._base_paths.items():
            check_base_path(name, path)

    def load_newest(self) -> list[LoadedModel]:
        """Loads the newest version of every model that is not loaded yet; returns those.

        Raises:
            ModelLoadError: if one cannot be loaded.
        """
        found = []
        for name, path in self._base_paths.items():
            version = max(version_folders(path), default=None)
            if version is not None and (name not in self._newest or version > self._newest[name].version):
                model = self._load(name, version)
                self._newest[name] = model
                found.append(model)
        return found

    def poll(self) -> None:
        """Takes up newer versions; one that cannot be loaded is logged once, and the version before it stays."""
        for name, path in self._base_paths.items():
            version = max(version_folders(path), default=None)
            if version is None or version <= self._newest[name].version or (name, version) in self._failed:
                continue
            try:
                self._take_over(self._load(name, version))
                _log.info("%s: version %d is now served", name, version)
            except ModelLoadError as error:
                self._failed[name, version] = str(error)
                _log.error("%s: version %d stays out: %s", name, version, error)

    def newest(self) -> list[LoadedModel]:
        """What is served where a request names no version."""
        return list(self._newest.values())

    def get(self, name: str, version: int | None) -> LoadedModel:
        """The model that answers a request; an older version is loaded when it is first asked for.

        Raises:
            RequestError: NOT_FOUND, if there is no such model or version.
        """
        if name not in self._base_paths:
            served = ", ".join(self._base_paths)
            raise _not_found(f"Servable not found for request: Latest({name}). Served here: {served}.")
        if version is None:
            return self._newest[name]
        loaded = self._loaded[name].get(version)
        return loaded if loaded is not None else self._load_on_request(name, version)

    def _load_on_request(self, name: str, version: int) -> LoadedModel:
        known = version_folders(self._base_paths[name])
        if version not in known:
            listed = ", ".join(map(str, known))
            raise _not_found(f"Servable not found for request: Specific({name}, {version}). There are: {listed}.")
        try:
            return self._load(name, version)
        except ModelLoadError as error:
            raise RequestError(grpc.StatusCode.UNAVAILABLE, str(error)) from error

    def states(self, name: str, version: int | None) -> dict[int, tuple[str, str]]:
        """State and error of each version of a model, or of one: AVAILABLE, START (not loaded yet) or END (failed).

        Raises:
            RequestError: NOT_FOUND, if there is no such model or version.
        """
        if name not in self._base_paths:
            raise _not_found(
                f"Could not find any versions of model {name}. Served here: {', '.join(self._base_paths)}."
            )
        versions = sorted(set(version_folders(self._base_paths[name])) | set(self._loaded[name]), reverse=True)
        if version is not None:
            if version not in versions:
                raise _not_found(f"Could not find version {version} of model {name}. There are: {versions}.")
            versions = [version]
        return {v: self._state(name, v) for v in versions}

    def _state(self, name: str, version: int) -> tuple[str, str]:
        if version in self._loaded[name]:
            return "AVAILABLE", ""
        error = self._failed.get((name, version))
        return ("START", "") if error is None else ("END", error)

    def _take_over(self, model: LoadedModel) -> None:
        """Answers with this version from now on; those before it are freed when their last request has ended."""
        with self._lock:
            self._newest[model.name] = model
            self._loaded[model.name] = {model.version: model}

    def _load(self, name: str, version: int) -> LoadedModel:
        with self._lock:
            loaded = self._loaded[name]
            if version not in loaded:
                loaded[version] = load_model(name, version, version_folders(self._base_paths[name])[version])
            return loaded[version]


def _not_found(message: str) -> RequestError:
    return RequestError(grpc.StatusCode.NOT_FOUND, message)
