"""The whole way: run, export, server, gRPC, client; its answers are those of the run itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from export_helpers import Exported
from tensorflow_serving.apis import prediction_log_pb2
from tiny_data import BLUE, RED, encoded, noisy_picture

from tfdvbpr.data.images import decoder, to_float
from tfdvbpr.design.studio import Designer
from tfdvbpr.run import Run
from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_export.saving import EXTRA, WARMUP_NAME
from tfdvbpr_serving.client import Client
from tfdvbpr_serving.errors import InvalidRequestError, UnknownIdError
from tfdvbpr_serving.server import LocalServer


@pytest.fixture(scope="module")
def client(recommender: Exported, served_designer: Exported) -> Iterator[Client]:
    folders: dict[str, Path] = {
        "recommender": recommender.folder.parent,
        "designer": served_designer.folder.parent,
    }
    with LocalServer(folders) as server, Client(server.target) as client:
        yield client


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_signatures(client: Client, name: str) -> None:
    described = SIGNATURES[name]
    served = client.metadata(described.model).signatures[name]
    for table, found in ((described.inputs, served.inputs), (described.outputs, served.outputs)):
        assert {key: tensor.dtype for key, tensor in found.items()} == {key: t.dtype for key, t in table.items()}


def test_score(client: Client, tiny_run: Run) -> None:
    users, items = tiny_run.user_ids, tiny_run.items.item_ids
    answer = client.score(users, items)
    np.testing.assert_allclose(answer.scores, tiny_run.score(users, items), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("category", [None, "shoe"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_recommend(client: Client, tiny_run: Run, category: str | None, exclude_seen: bool) -> None:
    answer = client.recommend(tiny_run.user_ids, k=5, category=category, exclude_seen=exclude_seen)
    for row in answer:
        expected = tiny_run.recommend(row.user_id, k=5, category=category, exclude_seen=exclude_seen)
        assert list(row.item_ids) == [one.item_id for one in expected]
        np.testing.assert_allclose(row.scores, [one.score for one in expected], rtol=1e-5, atol=1e-7)


def test_embed_images(client: Client, tiny_run: Run) -> None:
    files = [encoded(noisy_picture(RED, (45, 32), 1)), encoded(noisy_picture(BLUE, (20, 61), 2))]
    decode = decoder(tiny_run.manifest.image_size, tiny_run.manifest.fit)
    pixels = np.stack([decode(file).numpy() for file in files])
    expected = tiny_run.recommender.embed_images(to_float(pixels), training=False).numpy()
    np.testing.assert_allclose(client.embed_images(files), expected, rtol=1e-5, atol=1e-7)


def test_design(client: Client, designer: Designer) -> None:
    users, categories, seeds = ["u0", "u3", "u4"], ["shoe", "shirt", "shoe"], [11, 12, -3]
    expected = designer.design(users, categories, seeds=seeds)
    for row, answer in enumerate(client.design(users, categories, seeds=seeds)):
        assert np.abs(answer.images.astype(int) - expected.images[row].astype(int)).max() <= 1
        for name in ("preferences", "realism_logits", "initial_preferences"):
            np.testing.assert_allclose(getattr(answer, name), getattr(expected, name)[row], rtol=1e-5, atol=1e-7)


def test_generate(client: Client, designer: Designer) -> None:
    expected = designer.generate(["shoe", "shirt"], seeds=[5, 6])
    answers = client.generate(["shoe", "shirt"], seeds=[5, 6])
    for answer, image in zip(answers, expected, strict=True):
        assert np.abs(answer.image.astype(int) - image.astype(int)).max() <= 1


def test_requests_that_are_wrong(client: Client) -> None:
    with pytest.raises(UnknownIdError, match="nobody"):
        client.score(["nobody"], ["i0"])
    with pytest.raises(UnknownIdError, match="hat"):
        client.design(["u0"], "hat")
    with pytest.raises(InvalidRequestError):
        client.embed_images([b"GIF98 not a picture"])
    assert client.recommend(["u0"], k=1)[0].known_user  # the server lives on


def test_every_signature_is_warmed_up(recommender: Exported, served_designer: Exported) -> None:
    """The server has answered these already; TensorFlow Serving reads the same file."""
    names = []
    for exported in (recommender, served_designer):
        for record in tf.data.TFRecordDataset(str(exported.folder / EXTRA / WARMUP_NAME)).as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            signature = SIGNATURES[request.model_spec.signature_name]
            assert request.model_spec.name == signature.model == exported.folder.parent.name
            assert set(request.inputs) == set(signature.inputs)
            names.append(request.model_spec.signature_name)
    assert sorted(names) == sorted(SIGNATURES)
