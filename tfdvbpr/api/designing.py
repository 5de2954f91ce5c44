"""From two runs to new pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdvbpr.api.opening import opened_run
from tfdvbpr.errors import ConfigError
from tfdvbpr.files import IfExists
from tfdvbpr.run import GanRun, Run

if TYPE_CHECKING:
    from tfdvbpr.designing.audience import Audience
    from tfdvbpr.designing.output.tailored_folder import Request


def make_designs(
    run: Run | Path | str,
    gan_run: GanRun | Path | str,
    user_ids: Sequence[str],
    categories: Sequence[str],
    *,
    seeds: Sequence[int] | None = None,
    options: Any = None,
) -> Any:
    """New pictures for users; see `design.studio.Designer.design`.

    Args:
        run: a DVBPR run or its folder.
        gan_run: a GAN run or its folder.
        user_ids: as in the interactions.
        categories: one a user.
        seeds: one a user; 0 for each when left out.
        options: a `DesignOptions`.

    Raises:
        UnknownIdError: if a run does not know a user or a category.
    """
    from tfdvbpr.designing.designer import Designer

    designer = Designer(opened_run(run), opened_gan(gan_run), options=options)
    return designer.design(user_ids, categories, seeds=list(seeds or [0] * len(user_ids)))


def tailor(
    run: Run | Path | str,
    gan_run: GanRun | Path | str,
    output: Path | str,
    *,
    user_id: str | None = None,
    liked: Sequence[str] = (),
    item_ids: Sequence[str] = (),
    images: Sequence[Path | str] = (),
    category: str | None = None,
    sample: int = 0,
    strengths: Sequence[float] = (0.5, 1.0, 2.0),
    options: Any = None,
    perception: str = "backbone",
    judged_by: str = "colour-and-edges",
    second_run: Run | Path | str | None = None,
    seed: int = 0,
    dataset: Path | str | None = None,
    if_exists: IfExists = "error",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Existing items tailored to somebody, and a folder that shows them; see `design.tailoring.Tailor`.

    Args:
        run: a DVBPR run or its folder.
        gan_run: a GAN run or its folder.
        output: the folder to make.
        user_id: whom for; or `liked`.
        liked: items that somebody new liked.
        item_ids: what to tailor.
        images: picture files to tailor, of `category`.
        category: of the picture files.
        sample: instead of all of these, so many random items, each for a random user.
        strengths: each gives a picture an item.
        options: a `TailorOptions`.
        perception: "backbone", or a trunk with ImageNet weights.
        judged_by: the feature space the reconstruction is judged in.
        second_run: another recommender, to score before and after.
        seed: of the latents that are looked at first, and of the sample.
        dataset: where the run's dataset lies now, if it has been moved.
        if_exists: "error", or "overwrite" to replace a folder that is already there.
        progress: told of (items done, in all).

    Returns:
        What `tailored.json` holds.

    Raises:
        UnknownIdError: if a run does not know a user, an item or a category.
        ConfigError: if it is not clear what to tailor for whom, or a picture cannot be read.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.designing.designer import Designer
    from tfdvbpr.designing.output.nearest_items import check_space
    from tfdvbpr.designing.output.tailored_folder import item_pictures, sampled_requests, write_tailored
    from tfdvbpr.designing.tailor import Tailor, check_perception, check_strengths
    from tfdvbpr.files import check_output, whole_directory

    output = Path(output)
    check_output(output, if_exists=if_exists)
    check_perception(perception)
    check_strengths(strengths)
    opened, gan = opened_run(run), opened_gan(gan_run)
    second = None if second_run is None else opened_run(second_run)
    check_space(judged_by, opened)
    pictures = opened.open_dataset(None if dataset is None else Path(dataset))
    size = gan.manifest.image_size
    if sample:
        requests, items = sampled_requests(opened, gan, pictures, count=sample, seed=seed)
        photos = item_pictures(pictures, items, size)
    else:
        audience = audience_of(opened, [user_id] if user_id else [], liked, also=second)
        requests, photos = _asked(pictures, audience, item_ids, [Path(image) for image in images], category, size)
    for each in requests:
        gan.category_id(each.category)
    tailored = Tailor(Designer(opened, gan), options=options, perception=perception).tailor_for(
        [each.audience for each in requests],
        [each.category for each in requests],
        photos,
        seeds=range(seed, seed + len(requests)),
        strengths=strengths,
        progress=progress,
    )
    with whole_directory(output, if_exists=if_exists) as folder:
        return write_tailored(
            tailored, requests, folder, run=opened, dataset=pictures, second_run=second, judged_by=judged_by
        )


def interpolate(
    run: Run | Path | str,
    gan_run: GanRun | Path | str,
    output: Path | str,
    *,
    user_ids: tuple[str, str] | None = None,
    category: str | None = None,
    designs: tuple[str, str] | None = None,
    num_frames: int = 9,
    options: Any = None,
    seed: int = 0,
    if_exists: IfExists = "error",
) -> Any:
    """Pictures between the designs of two users, or between two written designs; see `design.interpolation`.

    Args:
        run: a DVBPR run or its folder.
        gan_run: a GAN run or its folder.
        output: the folder to make.
        user_ids: the two users.
        category: of their designs.
        designs: instead, two designs as "FOLDER:NUMBER".
        num_frames: pictures, both ends included.
        options: a `DesignOptions`.
        seed: of the users' designs.
        if_exists: "error", or "overwrite" to replace a folder that is already there.

    Returns:
        The `design.interpolation.Way`.

    Raises:
        ConfigError: if it is not clear between what, or the categories differ.
        UnknownIdError: if a run does not know a user or the category.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.designing import interpolate as interpolation
    from tfdvbpr.designing.audience import Audience
    from tfdvbpr.designing.designer import Designer
    from tfdvbpr.files import check_output, whole_directory

    output = Path(output)
    check_output(output, if_exists=if_exists)
    interpolation.check_frames(num_frames)
    if (user_ids is None) == (designs is None) or (user_ids is not None and not category):
        raise ConfigError(
            "A way is between two users' designs of a category (--user, --to-user, --category) or between two written "
            "designs (--from, --to). Give one of the two."
        )
    opened, gan = opened_run(run), opened_gan(gan_run)
    if user_ids is not None:
        opened.user_indices(user_ids)
        gan.category_id(str(category))
    designer = Designer(opened, gan, options=options)
    if user_ids is not None:
        names: Sequence[str] = user_ids
        ends = [
            interpolation.designed_end(designer, Audience.user(user_id), str(category), seed=seed)
            for user_id in user_ids
        ]
    else:
        names = designs or ()
        ends = [interpolation.written_end(*_folder_and_number(name), designer) for name in names]
    first, last = ends
    way = interpolation.interpolate(designer, first, last, num_frames=num_frames)
    with whole_directory(output, if_exists=if_exists) as folder:
        interpolation.write_way(way, folder, first, last, names=names)
    return way


def generate(
    gan_run: GanRun | Path | str,
    output: Path | str,
    *,
    categories: Sequence[str] | None = None,
    count: int = 12,
    spread: float = 1.0,
    seed: int = 0,
    dataset: Path | str | None = None,
    if_exists: IfExists = "error",
) -> list[dict[str, Any]]:
    """Random pictures of a generator, and a folder that shows them; see `design.samples.write_samples`.

    Args:
        gan_run: a GAN run or its folder.
        output: the folder to make.
        categories: each gives a row; all when left out.
        count: pictures a category.
        spread: standard deviation of the latents.
        seed: of the first picture of each category.
        dataset: where the GAN's dataset lies now; where it lay is looked up when left out, and the nearest real items
            are not told if it is gone.
        if_exists: "error", or "overwrite" to replace a folder that is already there.

    Raises:
        UnknownIdError: if the GAN does not know a category.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.designing.sample import write_samples
    from tfdvbpr.errors import DatasetError

    gan = opened_gan(gan_run)
    known = getattr(gan, "trained_categories", gan.manifest.categories)
    for category in categories or ():
        gan.category_id(category)
    try:
        pictures = gan.open_dataset(None if dataset is None else Path(dataset))
    except DatasetError:
        if dataset is not None:
            raise
        pictures = None
    return write_samples(
        gan,
        Path(output),
        categories=list(categories or known),
        count=count,
        seed=seed,
        spread=spread,
        dataset=pictures,
        if_exists=if_exists,
    )


def opened_gan(gan_run: GanRun | Path | str) -> GanRun:
    """The GAN run, opened if it is a folder."""
    return gan_run if isinstance(gan_run, GanRun) else GanRun.open(gan_run)


def audience_of(
    run: Run,
    user_ids: Sequence[str],
    liked: Sequence[str],
    *,
    least_misery: float = 0.0,
    also: Run | None = None,
) -> Audience:
    """Whom pictures are for, checked before anything is computed.

    Args:
        run: that must know the users or items.
        user_ids: one, or a group.
        liked: instead, items that somebody new liked.
        least_misery: of a group.
        also: another run that must know them too.

    Raises:
        ConfigError: if it is both or neither.
        UnknownIdError: if a run does not know a user or an item.
        RunError: if a run does not learn from pixels.
    """
    from tfdvbpr.designing.audience import Audience, check_designs

    if bool(user_ids) == bool(liked):
        raise ConfigError("Say whom it is for: --user ID (repeated for a group) or --liked ITEM. Give one of the two.")
    for each in (run, also):
        if each is not None:
            check_designs(each)
            each.user_indices(user_ids)
            each.items.indices(liked)
    if liked:
        return Audience.liked(liked)
    several = len(set(user_ids)) > 1
    return Audience.group(user_ids, least_misery=least_misery) if several else Audience.user(user_ids[0])


def _asked(
    dataset: Any,
    audience: Audience,
    item_ids: Sequence[str],
    images: Sequence[Path],
    category: str | None,
    image_size: tuple[int, int],
) -> tuple[list[Request], Any]:
    """Requests and their pictures, uint8 [N, H, W, 3]."""
    import numpy as np

    from tfdvbpr.data.images.decoding import checked_jpeg, decoder
    from tfdvbpr.designing.output.tailored_folder import Request, item_pictures

    if not item_ids and not images:
        raise ConfigError("Say what to tailor: --item ID, --image FILE with --category, or --sample N.")
    if images and category is None:
        raise ConfigError("--image must come with --category, which tells what the pictures show.")
    rows = dataset.items.indices(item_ids)
    table = dataset.items.table
    requests = [
        Request(item_id, table["category"][int(row)], audience) for item_id, row in zip(item_ids, rows, strict=True)
    ]
    parts = [item_pictures(dataset, rows, image_size)] if len(rows) else []
    fitted = decoder(image_size, dataset.manifest.fit)
    for path in images:
        requests.append(Request(path.name, str(category), audience))
        try:
            parts.append(fitted(checked_jpeg(path.read_bytes())).numpy()[None])
        except (OSError, ValueError) as error:
            raise ConfigError(f"--image must name a picture file. {path} cannot be read: {error}.") from None
    return requests, np.concatenate(parts)


def _folder_and_number(name: str) -> tuple[Path, int]:
    folder, _, number = name.rpartition(":")
    if not folder or not number.isdigit():
        raise ConfigError(f"A design must be named as FOLDER:NUMBER, such as designs/u17:1. Received {name!r}.")
    return Path(folder), int(number)
