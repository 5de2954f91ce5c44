"""Every client method against the local server and the toy models, by outputs computed by hand."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from image_files import png

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.client import Client
from tfdvbpr_serving.client.responses import Recommendations, Scores
from tfdvbpr_serving.errors import (
    DeadlineError,
    IdsNotFoundError,
    IncompatibleModelError,
    InvalidRequestError,
    ModelNotFoundError,
    ServingError,
)
from tfdvbpr_serving.server.server import LocalServer


def test_score_one_list_for_all(toy: Client) -> None:
    found = toy.score(["u0", "u3"], ["i0", "i2", "i5"])
    np.testing.assert_allclose(found.scores, [[-1, 1, 4], [-1, 7, 19]])
    assert found.scores.dtype == np.float32
    assert found.known_users.tolist() == [True, True]
    assert found.known_items.all()
    assert found.item_ids == (("i0", "i2", "i5"),) * 2


def test_score_ragged_rows(toy: Client) -> None:
    found = toy.score(["u0", "u1"], [["i1"], ["i2", "i3"]])
    np.testing.assert_allclose(found.scores, [[0, np.nan], [3, 5]])
    assert found.known_items.tolist() == [[True, False], [True, True]]


def test_score_of_unknown_ids(toy: Client) -> None:
    with pytest.raises(IdsNotFoundError, match="user 'u9'; item 'lost', 'gone'") as caught:
        toy.score(["u0", "u9", "u9"], ["i1", "lost", "gone"])
    assert isinstance(caught.value, ServingError)
    assert (caught.value.user_ids, caught.value.item_ids) == (("u9",), ("lost", "gone"))
    found = toy.score(["u0", "u9"], ["i1", "lost"], allow_unknown=True)
    np.testing.assert_allclose(found.scores, [[0, -np.inf], [1.5, -np.inf]])  # the mean user scores 2.5·i - 1
    assert found.known_users.tolist() == [True, False]
    assert found.known_items.tolist() == [[True, False]] * 2


def test_recommend(toy: Client) -> None:
    first, second = toy.recommend(["u0", "u1"], k=2)
    assert (first.user_id, first.item_ids, first.category) == ("u0", ("i5", "i4"), "")
    np.testing.assert_allclose(first.scores, [4, 3])
    assert second.item_ids == ("i4", "i3")  # i5 was seen
    assert toy.recommend(["u1"], k=1, exclude_seen=False)[0].item_ids == ("i5",)
    assert len(toy.recommend(["u0"])[0].item_ids) == 6  # k=10 of 6
    assert len(toy.recommend(["u1"])[0].item_ids) == 5


def test_recommend_of_a_category(toy: Client) -> None:
    assert toy.recommend(["u0"], k=3, category="shoes")[0].item_ids == ("i5", "i3", "i1")
    rows = toy.recommend(["u0", "u1"], k=10, category=["tops", "shoes"])
    assert [row.item_ids for row in rows] == [("i4", "i2", "i0"), ("i3", "i1")]
    assert all(len(row.scores) == len(row.item_ids) and np.isfinite(row.scores).all() for row in rows)
    with pytest.raises(IdsNotFoundError, match="category 'hats'") as caught:
        toy.recommend(["u0", "u1"], category=["hats", "tops"])
    assert caught.value.categories == ("hats",)
    picks = toy.recommend(["u0", "u3"], k=[1, 3], exclude_items=[["i5", "gone"], ["i4"]])
    assert [row.item_ids for row in picks] == [("i4",), ("i5", "i3", "i2")]
    assert toy.recommend(["u0"], k=1, exclude_items=["i5", "i4"])[0].item_ids == ("i3",)
    row = toy.recommend(["u9"], k=2, category="hats", allow_unknown=True)[0]
    assert (row.item_ids, row.known_user, row.known_category) == ((), False, False)
    assert toy.recommend(["u9"], k=1, allow_unknown=True)[0].scores.tolist() == [11.5]


def test_embed_images_from_bytes_and_files(toy: Client, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(png(200, 0, 0))
    found = toy.embed_images([png(), tmp_path / "red.png", str(tmp_path / "red.png")])
    np.testing.assert_allclose(found, [[10, 20, 30], [200, 0, 0], [200, 0, 0]])


def test_new_users(toy: Client) -> None:
    first, second = toy.recommend_for_items([["i1", "i3"], ["i4"]], k=2)
    assert (first.item_ids, second.item_ids) == (("i5", "i4"), ("i5", "i3"))
    np.testing.assert_allclose(first.scores, [9, 7])  # they like 2 on the mean: 2·i - 1
    assert toy.recommend_for_items([["i4"]], k=1, category="tops", exclude_liked=False)[0].item_ids == ("i4",)
    assert toy.recommend_for_items([["i4"]], k=1, exclude_items=["i5"])[0].item_ids == ("i3",)
    with pytest.raises(IdsNotFoundError, match="item 'lost', 'gone'"):
        toy.recommend_for_items([["i1"], ["lost", "gone"]])
    row = toy.recommend_for_items([["lost"]], k=1, allow_unknown=True)[0]
    assert (row.known_user, row.scores.tolist()) == (False, [11.5])


def test_similar_items_and_images(toy: Client) -> None:
    first, second = toy.similar_items(["i0", "i5"], k=[2, 1])
    assert (first.item_ids, second.item_ids) == (("i1", "i2"), ("i4",))
    np.testing.assert_allclose(first.similarities, [0.8, 0.6], rtol=1e-6)
    assert toy.similar_items(["i0"], k=9, category="tops")[0].item_ids == ("i2", "i4")
    with pytest.raises(IdsNotFoundError, match="item 'lost'"):
        toy.similar_items(["lost"])
    assert toy.similar_items(["lost"], allow_unknown=True)[0].item_ids == ()
    assert toy.similar_images([png(3), png(0)], k=1, category=["shoes", "tops"])[0].item_ids == ("i3",)
    with pytest.raises(IdsNotFoundError, match="category 'hats'"):
        toy.similar_images([png()], category="hats")


def test_score_images(toy: Client) -> None:
    found = toy.score_images(["u0", "u3"], [png(2), png(3)])
    np.testing.assert_allclose(found.scores, [1, 11])
    with pytest.raises(IdsNotFoundError, match="user 'u9'"):
        toy.score_images(["u9"], [png()])
    assert not toy.score_images(["u9"], [png()], allow_unknown=True).known_users[0]


def test_design(toy: Client) -> None:
    first, second = toy.design(["u0", "new"], ["tops", "hats"], seeds=[7, 7], allow_unknown=True)
    assert (first.user_id, first.category, first.seed, first.known_user) == ("u0", "tops", 7, True)
    assert first.images.shape == (2, 4, 4, 3)
    assert first.images.dtype == np.uint8
    assert [image.size for image in first.pil_images] == [(4, 4)] * 2
    assert (first.preferences.tolist(), first.realism_logits.tolist()) == ([7, 6], [3.5, 3])
    assert first.initial_preferences.tolist() == [6, 5]
    assert first.nearest_item_ids == (("i0",), ("i0",))
    assert (second.known_user, second.known_category, second.files, len(second.images)) == (False, False, (), 0)
    again = toy.design(["u0"], "tops", seeds=7, num_designs=1, num_steps=5, realism_weight=0.5)[0]
    np.testing.assert_array_equal(first.images[:1], again.images)
    assert (again.steps, len(again.preferences)) == (5, 1)
    assert [d.seed for d in toy.design(["u0", "u0", "u1"], "tops", seeds=5)] == [5, 6, 7]
    with pytest.raises(IdsNotFoundError, match=r"'designer'.*user 'new'; category 'hats'"):
        toy.design(["u0", "new"], ["tops", "hats"])


def test_design_by_liked_items_and_tailor(toy: Client) -> None:
    first, second = toy.design(None, "tops", liked_items=[["i1", "i2"], ["i3"]])
    assert (first.user_id, first.known_user, first.folded_in, second.seed) == ("", False, True, 1)
    assert toy.design(["u0"], "tops", liked_items=[[]])[0].known_user
    with pytest.raises(IdsNotFoundError, match="item 'lost'"):
        toy.design(None, "tops", liked_items=[["i1", "lost"]])
    tailored, other = toy.tailor([png(4), png()], ["shoes", "tops"], user_ids=["u2", "u1"], seeds=3, strength=[0.5, 1])
    assert (tailored.user_id, tailored.seed, other.seed) == ("u2", 3, 4)
    assert (tailored.preference, tailored.initial_preference, tailored.realism_logit) == (5, 4, 2)
    assert (tailored.distance, other.distance, tailored.nearest_item_ids) == (0.5, 1, ("i0",))
    assert tailored.inverted_image[0, 0].tolist() == [4, 20, 30]
    assert (tailored.image.shape, tailored.pil_image.size) == ((4, 4, 3), (4, 4))
    assert toy.tailor([png()], "shoes", liked_items=[["i3"]])[0].folded_in
    wishes = {"more_like": ["i1"], "less_like": [["i2", "i3"]]}
    kept = toy.tailor([png(4)], "shoes", user_ids=["u2"], keep=["colour"], **wishes)[0]
    assert kept.preference == kept.initial_preference
    with pytest.raises(IdsNotFoundError, match="item 'lost'"):
        toy.design(["u0"], "tops", more_like=["i1", "lost"])
    blank = toy.tailor([png()], "hats", user_ids=["u2"], allow_unknown=True)[0]
    assert (blank.file, blank.image.shape, blank.known_category) == (b"", (0, 0, 3), False)


def test_generate(toy: Client) -> None:
    images = toy.generate("tops", seeds=[3, 4])
    assert [(p.category, p.seed, p.realism_logit, p.image.shape) for p in images] == [
        ("tops", 3, 3.0, (4, 4, 3)),
        ("tops", 4, 4.0, (4, 4, 3)),
    ]
    assert images[0].pil_image.size == (4, 4)
    assert not np.array_equal(images[0].image, images[1].image)
    counted = toy.generate(["tops", "tops"], seeds=3)
    np.testing.assert_array_equal([p.image for p in counted], [p.image for p in images])
    assert len(toy.generate("shoes")) == 1
    with pytest.raises(IdsNotFoundError, match="category 'hats'"):
        toy.generate("hats")
    blank = toy.generate("hats", allow_unknown=True)[0]
    assert (blank.known_category, blank.file, blank.image.shape) == (False, b"", (0, 0, 3))
    with pytest.raises(ValueError, match="does not know the category"):
        _ = blank.pil_image


def test_many_rows_are_split_and_come_back_as_one(toy_server: LocalServer) -> None:
    users = [f"u{row % 4}" for row in range(23)]
    with Client(toy_server.target, max_rows_per_request=5, max_design_rows_per_request=2) as small:
        items = [[f"i{row % 6}"] * (1 + row % 3) for row in range(23)]
        scores = small.score(users, items)
        expected = [[(row % 4 + 1) * (row % 6) - 1] for row in range(23)]
        np.testing.assert_allclose(scores.scores[:, :1], expected)
        rows = small.recommend(users, k=3, category=["tops", "shoes", "tops"] + ["shoes"] * 20)
        assert [row.user_id for row in rows] == users
        assert rows[2].item_ids == ("i4", "i2", "i0")
        assert rows[5].item_ids == ("i3", "i1")
        assert len(small.embed_images([png()] * 7)) == 7
        assert [p.realism_logit for p in small.generate("tops", seeds=range(5))] == [0, 1, 2, 3, 4]


def test_threads_share_a_client(toy: Client) -> None:
    def errors(row: int) -> list[float]:
        user, item = row % 4, row % 6
        found = toy.score([f"u{user}"], [f"i{item}"]).scores.item()
        best = toy.recommend([f"u{user}"], k=1, category="tops")[0].scores.item()
        return [found - ((user + 1) * item - 1), best - ((user + 1) * 4 - 1)]

    with ThreadPoolExecutor(8) as pool:
        np.testing.assert_allclose(list(pool.map(errors, range(120))), 0)


def test_a_response_wider_than_its_request_is_cut() -> None:
    """A batching server pads narrow requests to the widest of the batch."""
    row = {
        "scores": np.array([1.0, 2.0, 9.0]),
        "known_items": np.array([True, False, True]),
        "known_users": True,
    }
    cut = Scores.from_rows(("u", "v"), (("a", "b"), ("c", "d")), [row, row])
    assert cut.scores.tolist() == [[1, 2], [1, 2]]
    assert cut.known_users.tolist() == [True, True]
    ranked = {
        "item_ids": np.array([b"a", b"b", b"", b""], dtype=object),
        "scores": np.array([3.0, 2.0, -np.inf, -np.inf]),
        "counts": 2,
        "known_users": True,
        "known_categories": True,
    }
    assert Recommendations.from_row("u", "", ranked).item_ids == ("a", "b")
    with pytest.raises(IncompatibleModelError, match="4 columns"):
        Scores.from_rows(("u",), (("a", "b", "c", "d"),), [row])


def test_versions(toy: Client, toy_server: LocalServer) -> None:
    assert toy.score(["u0"], ["i2"]).scores.item() == 1
    with Client(toy_server.target, recommender_version=1) as old:
        assert old.score(["u0"], ["i2"]).scores.item() == 2  # version 1 subtracts nothing
        assert old.metadata().version == 1
        assert old.generate("tops")
    with (
        Client(toy_server.target, recommender_version=9) as none,
        pytest.raises(ModelNotFoundError, match=r"Specific\(recommender, 9\)"),
    ):
        none.score(["u0"], ["i2"])
    with Client(toy_server.target, version_label="old", recommender_name="recommender") as label:
        assert label.score(["u0"], ["i2"]).scores.item() == 2
        with pytest.raises(InvalidRequestError, match=r"label: old\. The labels of 'designer': none"):
            label.generate("tops")


def test_status_and_metadata(toy: Client) -> None:
    newest = toy.model_status()[0]
    assert (newest.version, newest.state, newest.error) == (2, "AVAILABLE", "")
    assert [v.version for v in toy.model_status("designer")] == [1]
    toy.wait_until_ready(timeout_seconds=5)
    with pytest.raises(DeadlineError, match=r"'nope' must be ready .* within 0.2 s"):
        toy.wait_until_ready(timeout_seconds=0.2, models=["nope"])


def test_the_client_loads_no_tensorflow() -> None:
    code = (
        "import sys; import tfdvbpr_serving.client\n"
        "heavy = sorted({'tensorflow', 'tensorflow_serving', 'keras', 'scipy', 'pandas', 'PIL'} & set(sys.modules))\n"
        "print(heavy)"
    )
    path = [entry for entry in sys.path if entry]
    out = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {path!r}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == "[]"


def test_the_client_has_a_method_for_every_signature() -> None:
    assert all(callable(getattr(Client, name, None)) for name in SIGNATURES)
