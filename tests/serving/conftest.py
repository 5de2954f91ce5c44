from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_toy_models import save_designer, save_recommender
from shared_folders import own_copy

from tfdvbpr_serving.client import Client
from tfdvbpr_serving.config import ModelSource, VersionPolicy
from tfdvbpr_serving.server.server import LocalServer

TARGET_VARIABLE = "TFDVBPR_SERVING_TARGET"


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    def save(root: Path) -> None:
        save_recommender(root / "recommender" / "1", offset=0.0)
        save_recommender(root / "recommender" / "2")
        save_designer(root / "designer" / "1")

    root = own_copy(tmp_path_factory, "toys", save)
    return {"recommender": root / "recommender", "designer": root / "designer"}


@pytest.fixture(scope="session")
def toy_server(model_folders: dict[str, Path]) -> Iterator[LocalServer]:
    """Serves both versions of the recommender: 2 as "stable" and by default, 1 as "old"."""
    if os.environ.get(TARGET_VARIABLE):
        pytest.skip(f"needs the toy models; {TARGET_VARIABLE} names another server")
    sources = [
        ModelSource("recommender", model_folders["recommender"], VersionPolicy(latest=None), {"stable": 2, "old": 1}),
        ModelSource("designer", model_folders["designer"]),
    ]
    with LocalServer(sources, rest_port=0) as server:
        yield server


@pytest.fixture
def toy(toy_server: LocalServer) -> Iterator[Client]:
    with Client(toy_server.target) as client:
        yield client


@pytest.fixture
def any_client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of the server that the environment names, or of the toy models."""
    target = os.environ.get(TARGET_VARIABLE) or request.getfixturevalue("toy_server").target
    with Client(target) as client:
        yield client
