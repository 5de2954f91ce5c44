from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from PIL import Image, ImageFilter
from scipy.stats import binomtest

from tfdvbpr import api
from tfdvbpr.config.base import resolve_config
from tfdvbpr.data.importers import IMPORTERS
from tfdvbpr.data.interactions import Actions, split_actions
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.data.synthetic.garments import (
    CATEGORIES,
    CUTS,
    PALETTE,
    PATTERNS,
    Garment,
    lab,
    random_garment,
    read_colours,
    render_garment,
)
from tfdvbpr.data.synthetic.source import SyntheticImporter, read_truth, utilities, write_synthetic
from tfdvbpr.errors import ConfigError, OutputExistsError, SourceError

DEFAULT = SyntheticImporter(image_size=16)
SMALL = SyntheticImporter(num_items=80, num_users=30, image_size=24)
ALL_CUTS = [(category, cut) for category in CATEGORIES for cut in CUTS[category]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default users and garments; only the images are smaller."""
    folder = tmp_path_factory.mktemp("synthetic") / "source"
    write_synthetic(folder, DEFAULT)
    return folder


@pytest.fixture(scope="module")
def small_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "small"
    write_synthetic(folder, SMALL)
    return folder


def _actions(folder: Path) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Rows of the truth and of the items of every action."""
    users = {user_id: row for row, user_id in enumerate(read_truth(folder)["user_id"])}
    items = {item_id: row for row, item_id in enumerate(pl.read_csv(folder / "items.csv")["item_id"])}
    table = pl.read_csv(folder / "interactions.csv")
    return (
        np.array([users[user_id] for user_id in table["user_id"]], np.int32),
        np.array([items[item_id] for item_id in table["item_id"]], np.int32),
    )


def true_scores(folder: Path) -> np.ndarray:
    return utilities(read_truth(folder), pl.read_csv(folder / "items.csv", infer_schema=False))


def _figures(folder: Path) -> tuple[float, float, float]:
    """(AUC of the true utility, AUC of popularity, share of cold items) on the test actions."""
    scores = true_scores(folder)
    users, items = _actions(folder)
    splits = split_actions(
        Actions(users, items), kind="leave-one-out", num_items=scores.shape[1], withhold_items=0, seed=0
    )
    acted = np.zeros(scores.shape, bool)
    acted[users, items] = True
    counts = np.bincount(items[splits == 0], minlength=scores.shape[1])
    true_aucs, popularity_aucs = [], []
    for user, item in zip(users[splits == 2], items[splits == 2], strict=True):
        others = ~acted[user]
        for aucs, row in ((true_aucs, scores[user]), (popularity_aucs, counts)):
            aucs.append((row[others] < row[item]).mean() + (row[others] == row[item]).mean() / 2)
    return float(np.mean(true_aucs)), float(np.mean(popularity_aucs)), float((counts < 5).mean())


def _images(garments: list[Garment], size: int = 64) -> npt.NDArray[np.uint8]:
    return np.stack([np.asarray(render_garment(garment, size)) for garment in garments])


def test_preferences_drive_the_actions_and_popularity_hardly_and_many_items_are_cold(source: Path) -> None:
    true_auc, popularity_auc, cold = _figures(source)
    assert 0.90 <= true_auc <= 0.93
    assert 0.55 <= popularity_auc <= 0.62
    assert 0.30 <= cold <= 0.50


def test_noise_hides_preferences_and_exposure_makes_popularity(tmp_path: Path) -> None:
    options = SyntheticImporter(num_items=200, num_users=300, image_size=16)
    write_synthetic(tmp_path / "noisy", options.model_copy(update={"temperature": 40.0, "exposure_stddev": 0.0}))
    write_synthetic(tmp_path / "advertised", options.model_copy(update={"exposure_stddev": 2.5}))
    noisy, advertised = _figures(tmp_path / "noisy"), _figures(tmp_path / "advertised")
    assert noisy[0] < 0.6
    assert noisy[1] < 0.58
    assert advertised[1] > 0.75


def test_favourite_colours_are_over_represented(source: Path) -> None:
    users, items = _actions(source)
    colours = pl.read_csv(source / "items.csv")["colour"].to_numpy()
    favourites = np.array([names[0] for names in read_truth(source)["favourite_colours"]])
    share = max(np.unique(colours, return_counts=True)[1]) / len(colours)
    hits = int((colours[items] == favourites[users]).sum())
    assert binomtest(hits, len(users), share, alternative="greater").pvalue < 1e-9
    assert hits / len(users) > 3 * share


def test_actions_are_distinct_and_as_many_as_asked(source: Path) -> None:
    users, items = _actions(source)
    assert len(np.unique(users.astype(np.int64) * DEFAULT.num_items + items)) == len(users)
    counts = np.bincount(users, minlength=DEFAULT.num_users)
    assert (counts.min(), counts.max()) == DEFAULT.actions_per_user


def test_truth_is_what_the_scores_are_made_of(small_source: Path) -> None:
    truth, items = read_truth(small_source), pl.read_csv(small_source / "items.csv")
    scores = true_scores(small_source)
    assert scores.shape == (SMALL.num_users, SMALL.num_items)
    assert scores.dtype == np.float32
    for row, column in ((0, 0), (7, 31), (29, 79)):
        user, item = truth.row(row, named=True), items.row(column, named=True)
        weights = [user[f"{kind}:{item[kind]}"] for kind in ("colour", "category", "pattern")]
        cut = user[f"cut:{item['category']}:{item['cut']}"]
        assert scores[row, column] == pytest.approx(sum(weights) + cut, abs=1e-5)
    for user in truth.iter_rows(named=True):
        by_weight = sorted(PALETTE, key=lambda name: -user[f"colour:{name}"])
        assert user["favourite_colours"] == by_weight[: len(user["favourite_colours"])]
        assert 1 <= len(user["favourite_colours"]) <= 3


def test_no_truth(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"synthetic source with truth\.parquet"):
        read_truth(tmp_path)


def test_the_same_options_give_the_same_bytes(small_source: Path, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "again", SMALL)
    write_synthetic(tmp_path / "other", SMALL.model_copy(update={"seed": 1}))
    names = sorted(path.relative_to(small_source) for path in small_source.rglob("*") if path.is_file())
    assert len(names) == SMALL.num_items + 3
    assert all((small_source / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)
    same = sum((small_source / name).read_bytes() == (tmp_path / "other" / name).read_bytes() for name in names)
    assert same == 0


def test_kept_or_not_the_dataset_is_the_same(tmp_path: Path) -> None:
    """Garments are rendered one by one where no source is kept."""
    chosen = {"num_items": 40, "num_users": 10}
    options = PrepareOptions(image_size=(24, 24), seed=3)
    kept, other = (
        api.prepare(
            None,
            tmp_path / name,
            source_format="synthetic",
            importer_options={**chosen, "keep_source": source},
            options=options,
        )
        for name, source in (("kept", tmp_path / "source"), ("other", None))
    )
    assert kept.manifest.fingerprint == other.manifest.fingerprint
    assert (
        prepare(
            IMPORTERS["folder"]().read(tmp_path / "source"), tmp_path / "read", options=options, source_format="folder"
        ).manifest.fingerprint
        == kept.manifest.fingerprint
    )
    with pytest.raises(ConfigError, match="takes no SOURCE"):
        api.prepare(tmp_path, tmp_path / "out", source_format="synthetic")


def test_prepares_without_a_loss_and_in_the_order_of_the_truth(small_source: Path, tmp_path: Path) -> None:
    dataset = prepare(
        IMPORTERS["folder"]().read(small_source),
        tmp_path / "dataset",
        options=PrepareOptions(image_size=(24, 24)),
        source_format="synthetic",
    )
    about = dataset.manifest
    assert about.num_quarantined == 0
    assert (about.num_users, about.num_items) == (SMALL.num_users, SMALL.num_items)
    assert set(about.categories) <= set(CATEGORIES)
    assert dataset.user_ids == read_truth(small_source)["user_id"].to_list()
    table = dataset.items.table
    assert table.columns == ["item_id", "category", "cut", "colour", "pattern"]
    assert all(cut in CUTS[category] for category, cut in table.select("category", "cut").iter_rows())
    read = read_colours(dataset.images.read(np.arange(SMALL.num_items)))
    assert np.mean([name == truth for name, truth in zip(read, table["colour"], strict=True)]) >= 0.95


def test_an_interruption_leaves_nothing_and_a_full_folder_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tfdvbpr.data.synthetic.source.render_garment", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "source", SMALL)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(OutputExistsError, match="new or empty folder"):
        write_synthetic(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_items", 1),
        ("num_users", 0),
        ("image_size", 15),
        ("seed", -1),
        ("actions_per_user", (0, 5)),
        ("actions_per_user", (6, 5)),
        ("actions_per_user", (4, 1500)),
        ("temperature", 0.0),
        ("temperature", float("nan")),
        ("exposure_stddev", -0.1),
    ],
)
def test_options_out_of_range(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` has a wrong value"):
        resolve_config(SyntheticImporter, defaults={name: value})


def test_every_cut_looks_different_and_none_is_blank() -> None:
    images = _images([Garment(category, cut, "blue", "plain") for category, cut in ALL_CUTS]).astype(float)
    assert len(images) == 21
    covered = (np.abs(images - images[:, :1, :1]).max(axis=-1) > 60).mean(axis=(1, 2))
    assert covered.min() > 0.12
    assert covered.max() < 0.7
    for (name, one), (other_name, other) in combinations(zip(ALL_CUTS, images, strict=True), 2):
        assert np.abs(one - other).mean() > 4, (name, other_name)


def test_patterns_and_jitter_change_the_image() -> None:
    plain = Garment("t-shirt", "tank", "teal", "plain")
    variants = [plain, *(replace(plain, pattern=pattern) for pattern in PATTERNS[1:])]
    variants += [replace(plain, width=0.93), replace(plain, shade=0.9), replace(plain, shift=(0.02, 0.0))]
    variants.append(replace(variants[1], phase=0.5))
    for one, other in combinations(_images(variants).astype(float), 2):
        assert np.abs(one - other).mean() > 0.5


@pytest.mark.parametrize("size", [32, 64])
def test_garments_stay_inside_the_image(size: int) -> None:
    rng = np.random.default_rng(3)
    images = _images([random_garment(rng, category, cut=cut) for category, cut in ALL_CUTS for _ in range(4)], size)
    border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    assert border.min() > 200


@pytest.mark.parametrize("pattern", PATTERNS)
def test_colours_are_readable_clean_and_blurred(pattern: str) -> None:
    rng = np.random.default_rng(4)
    garments = [random_garment(rng, pattern=pattern) for _ in range(80)]
    clean = [render_garment(garment, 64) for garment in garments]
    blurred = [image.filter(ImageFilter.GaussianBlur(1.5)) for image in clean]
    for images, enough in ((clean, 0.98), (blurred, 0.95)):
        read = read_colours(np.stack([np.asarray(image) for image in images]))
        assert np.mean([name == garment.colour for name, garment in zip(read, garments, strict=True)]) >= enough


def test_colours_of_plain_areas_and_of_nothing() -> None:
    swatches = np.stack([np.full((8, 8, 3), colour, np.uint8) for colour in PALETTE.values()])
    framed = np.pad(swatches, ((0, 0), (4, 4), (4, 4), (0, 0)), constant_values=250)
    assert read_colours(framed) == list(PALETTE)
    assert read_colours(np.full((2, 16, 16, 3), 245, np.uint8)) == ["", ""]
    assert read_colours(np.zeros((0, 16, 16, 3), np.uint8)) == []
    for wrong in (np.zeros((16, 16, 3), np.uint8), np.zeros((1, 16, 16, 3), np.float32)):
        with pytest.raises(ValueError, match=r"must be uint8 \[N, H, W, 3\]"):
            read_colours(wrong)  # type: ignore[arg-type]


def test_cielab_of_known_colours() -> None:
    """Red and middle grey as tabulated for sRGB under D65."""
    found = lab(np.array([[255, 255, 255], [255, 0, 0], [119, 119, 119]], np.uint8))
    np.testing.assert_allclose(found, [[100, 0, 0], [53.24, 80.09, 67.20], [50.03, 0, 0]], atol=0.05)


def test_unknown_names_and_sizes() -> None:
    for names in (("sock", "tank"), ("t-shirt", "boot")):
        with pytest.raises(ValueError, match="must be one of"):
            Garment(*names, "red", "plain")
    with pytest.raises(ValueError, match="`colour` must be one of red"):
        Garment("hat", "cap", "white", "plain")
    with pytest.raises(ValueError, match="`category` must be one of"):
        random_garment(np.random.default_rng(0), "sock")
    with pytest.raises(ValueError, match="`size` must be at least 8"):
        render_garment(Garment("hat", "cap", "red", "plain"), 4)


def test_drawing_is_seeded() -> None:
    one, other = (random_garment(np.random.default_rng(9)) for _ in range(2))
    assert one == other
    image = render_garment(one, 48)
    assert isinstance(image, Image.Image)
    assert (image.mode, image.size) == ("RGB", (48, 48))
