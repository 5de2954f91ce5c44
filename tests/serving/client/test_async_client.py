"""The asyncio client has the methods of the blocking one, and returns the same."""

from __future__ import annotations

import asyncio
import inspect

import numpy as np
import pytest
from image_files import png

from tfdvbpr_serving.client import AsyncClient, Client
from tfdvbpr_serving.errors import DeadlineError, IdsNotFoundError, InvalidRequestError, ServingError
from tfdvbpr_serving.server.server import LocalServer


def methods(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(function)
        for name, function in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    assert methods(Client) == methods(AsyncClient)
    assert all(inspect.iscoroutinefunction(getattr(AsyncClient, name)) for name in methods(AsyncClient))
    assert not any(inspect.iscoroutinefunction(getattr(Client, name)) for name in methods(Client))


def test_every_method(toy_server: LocalServer, toy: Client) -> None:
    async def run() -> None:
        async with AsyncClient(toy_server.target, compression="gzip") as client:
            await client.wait_until_ready(timeout_seconds=10)
            users, files = ["u0", "u1"], [png(), png(4)]
            rows, scores, liked, similar, embedded, image_scores, images = await asyncio.gather(
                client.recommend(users, k=2),
                client.score(users, ["i0", "i2"]),
                client.recommend_for_items([["i1"], ["i2", "i4"]], k=2),
                client.similar_items(["i0"], k=2),
                client.embed_images(files),
                client.score_images(users, files),
                client.generate("tops", seeds=[1, 2]),
            )
            assert [r.item_ids for r in rows] == [r.item_ids for r in toy.recommend(users, k=2)]
            np.testing.assert_array_equal(scores.scores, toy.score(users, ["i0", "i2"]).scores)
            assert liked[1].item_ids == ("i5", "i3")
            assert similar[0].item_ids == ("i1", "i2")
            np.testing.assert_array_equal(embedded, toy.embed_images(files))
            np.testing.assert_array_equal(image_scores.scores, toy.score_images(users, files).scores)
            assert images[1].file == toy.generate("tops", seeds=2)[0].file
            assert (await client.similar_images(files, k=1))[1].item_ids == ("i4",)
            assert (await client.tailor(files, "tops", user_ids=users))[1].seed == 1
            assert (await client.design(users, "tops"))[0].files == toy.design(users, "tops")[0].files
            assert (await client.metadata()).version == 2
            assert (await client.model_status("designer"))[0].state == "AVAILABLE"
            with pytest.raises(IdsNotFoundError, match="u9"):
                await client.recommend(["u9"])
            with pytest.raises(InvalidRequestError):
                await client.embed_images([b"no image"])
            with pytest.raises(ValueError, match="must be a whole number"):
                await client.recommend(["u0"], k=0)
            with pytest.raises(DeadlineError, match="'nope' must be ready"):
                await client.wait_until_ready(timeout_seconds=0.2, models=["nope"])
        with pytest.raises(ServingError, match="must be open"):
            await client.recommend(["u0"])

    asyncio.run(run())
