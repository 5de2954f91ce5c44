"""Tests of any server of the exported models: the local one, or the one TFDVBPR_SERVING_TARGET names."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.client import Client
from tfdvbpr_serving.errors import IdsNotFoundError, InvalidRequestError, ModelNotFoundError

UNKNOWN = "no-such-id-\u2603"


def noise_png(side: int, *, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_the_served_signature_is_the_one_in_the_table(any_client: Client, name: str) -> None:
    signature = SIGNATURES[name]
    served = any_client.metadata(signature.model).signatures[name]
    for table, found in ((signature.inputs, served.inputs), (signature.outputs, served.outputs)):
        assert {key: tensor.dtype for key, tensor in found.items()} == {key: t.dtype for key, t in table.items()}
    for key, description in signature.inputs.items():
        assert served.inputs[key].shape == description.shape


@pytest.mark.parametrize("model", ["recommender", "designer"])
def test_models_are_available(any_client: Client, model: str) -> None:
    any_client.wait_until_ready(timeout_seconds=60, models=[model])
    assert any_client.model_status(model)[0].state == "AVAILABLE"


def test_recommendations_and_scores_agree(any_client: Client) -> None:
    best = any_client.recommend([UNKNOWN], k=4, allow_unknown=True)[0]
    assert not best.known_user
    assert len(best.item_ids) == 4
    assert (np.diff(best.scores) <= 0).all()
    scores = any_client.score([UNKNOWN], [*best.item_ids, UNKNOWN], allow_unknown=True)
    np.testing.assert_allclose(scores.scores[0, :4], best.scores, rtol=1e-5)
    assert np.isneginf(scores.scores[0, 4])
    assert scores.known_items.tolist() == [[True] * 4 + [False]]
    assert any_client.recommend([UNKNOWN], k=2, allow_unknown=True)[0].item_ids == best.item_ids[:2]


def test_new_users_and_similar_items(any_client: Client) -> None:
    liked = any_client.recommend([UNKNOWN], k=3, allow_unknown=True)[0].item_ids
    one, other = any_client.recommend_for_items([liked, liked[:1]], k=5)
    assert one.known_user
    assert not set(one.item_ids) & set(liked)
    assert liked[0] not in other.item_ids
    kept = any_client.recommend_for_items([liked], k=5, exclude_items=one.item_ids[:1])[0]
    assert one.item_ids[0] not in kept.item_ids
    similar = any_client.similar_items([liked[0]], k=3)[0]
    assert liked[0] not in similar.item_ids
    assert (np.diff(similar.similarities) <= 0).all()
    with pytest.raises(IdsNotFoundError, match=UNKNOWN):
        any_client.similar_items([UNKNOWN])


def test_images_are_scored_as_they_are_embedded(any_client: Client) -> None:
    files = [noise_png(40), noise_png(40, seed=1)]
    scores = any_client.score_images([UNKNOWN] * 2, files, allow_unknown=True).scores
    assert np.isfinite(scores).all()
    alone = any_client.score_images([UNKNOWN], files[1:], allow_unknown=True).scores
    np.testing.assert_allclose(alone, scores[1:], rtol=1e-4, atol=1e-6)
    assert len(any_client.similar_images(files, k=2)[1].item_ids) == 2


def test_unknown_ids_are_errors_unless_allowed(any_client: Client) -> None:
    with pytest.raises(IdsNotFoundError, match=UNKNOWN):
        any_client.recommend([UNKNOWN])
    with pytest.raises(IdsNotFoundError, match=UNKNOWN):
        any_client.generate(UNKNOWN)
    row = any_client.recommend([UNKNOWN], category=UNKNOWN, allow_unknown=True)[0]
    assert (row.item_ids, row.known_category) == ((), False)
    designed = any_client.design([UNKNOWN], UNKNOWN, allow_unknown=True)[0]
    assert (designed.known_user, designed.known_category) == (False, False)
    assert (designed.files, designed.images.size) == ((), 0)


def test_images_have_the_same_embedding_alone_and_together(any_client: Client) -> None:
    one, other = noise_png(40), noise_png(56, seed=1)
    together = any_client.embed_images([one, other, one])
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together[0], together[2], rtol=1e-5)
    np.testing.assert_allclose(any_client.embed_images([other])[0], together[1], rtol=1e-4, atol=1e-6)


def test_an_eight_megabyte_image_passes(any_client: Client) -> None:
    image = noise_png(1700)
    assert len(image) > 8 * 2**20
    assert len(any_client.embed_images([image])) == 1


def test_other_files_are_rejected(any_client: Client) -> None:
    for call in (
        lambda files: any_client.embed_images(files),
        lambda files: any_client.similar_images(files),
        lambda files: any_client.score_images([UNKNOWN], files, allow_unknown=True),
        lambda files: any_client.tailor(files, UNKNOWN, user_ids=[UNKNOWN], allow_unknown=True),
    ):
        with pytest.raises(InvalidRequestError):
            call([b"%PDF-1.7 not an image"])


def test_models_that_are_not_served(any_client: Client) -> None:
    for call in (any_client.model_status, any_client.metadata):
        with pytest.raises(ModelNotFoundError, match="nope"):
            call("nope")
