"""From two runs to new products: `design`, `tailor`, `interpolate` and `generate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfdvbpr.api.training import opened_gan, opened_run
from tfdvbpr.errors import ConfigError, DatasetError
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.run import GanRun, Run

if TYPE_CHECKING:
    from tfdvbpr.designing.audience import Audience
    from tfdvbpr.designing.designer import Designs
    from tfdvbpr.designing.interpolate import Interpolation
    from tfdvbpr.designing.options import DesignOptions, TailorOptions
    from tfdvbpr.designing.tailored_folders import TailorRequest

_NUM_DESIGNS = 8


def design(
    run: Run | Path | str,
    gan_run: GanRun | Path | str,
    output: Path | str | None = None,
    *,
    category: str,
    user_ids: Sequence[str] = (),
    liked: Sequence[str] = (),
    more_like: Sequence[str] = (),
    less_like: Sequence[str] = (),
    num_designs: int | None = None,
    options: DesignOptions | None = None,
    second_run: Run | Path | str | None = None,
    seed: int = 0,
    captions: Sequence[str] | None = None,
    dataset: Path | str | None = None,
    if_exists: IfExists = "error",
) -> Designs:
    """Designs new products of a category for a user, a group, or a new user, and writes a folder that shows them.

    Preference maximisation of Kang et al. 2017: gradient ascent on the GAN's latents. For many users at once, and for
    the ascent's frames, see `Designer`.

    Args:
        run: a DVBPR run or its folder.
        gan_run: a GAN run or its folder.
        output: the folder to make, see `write_designs`; left out, nothing is written.
        category: a category of the GAN.
        user_ids: one user, or the members of a group; or `liked`.
        liked: items that a new user liked.
        more_like: items that the designs should be more like, see `Audience.toward`.
        less_like: items that the designs should be less like.
        num_designs: designs to keep, at most one per start; 8 when left out, or as many as there are starts.
        options: starts, steps, step size, η.
        second_run: another recommender, which the ascent does not use, to score the written designs too.
        seed: of the starts; the same seed gives the same designs.
        captions: columns of the items below each nearest item, beside its id; left out, title and price where there
            are columns of such names.
        dataset: where the run's dataset is now, if it has been moved; needed for the folder alone.
        if_exists: whether to replace a folder that is already there.

    Returns:
        The designs, of one row.

    Raises:
        UnknownIdError: if a run does not know a user, an item or the category.
        ConfigError: if both or neither of `user_ids` and `liked` are given, a number is out of range, or one of
            `captions` is no column.
        RunError: if a recommender does not learn from pixels.
        OutputExistsError: if `output` holds something already.

    Example:
        >>> designs = design("runs/dvbpr", "runs/gan", "designs", user_ids=["u17"], category="dress")  # doctest: +SKIP
        >>> designs.images.shape  # doctest: +SKIP
        (1, 8, 64, 64, 3)
    """
    from tfdvbpr.designing.designer import Designer
    from tfdvbpr.designing.folders import write_designs
    from tfdvbpr.designing.options import DesignOptions, check_num_designs

    if output is not None:
        check_output(Path(output), if_exists=if_exists)
    options = options or DesignOptions()
    number = min(_NUM_DESIGNS, options.num_starts) if num_designs is None else num_designs
    check_num_designs(number, options.num_starts)
    opened, gan = opened_run(run), opened_gan(gan_run)
    second = None if second_run is None else opened_run(second_run)
    audience = _audience(user_ids, liked, more_like, less_like, runs=(opened, second))
    gan.category_id(category)
    designer = Designer(opened, gan, options=options)
    if output is None:
        return designer.design_for(audience, category, seed=seed, num_designs=number)
    return write_designs(
        designer,
        Path(output),
        audience,
        category=category,
        dataset=opened.open_dataset(dataset),
        num_designs=number,
        second_run=second,
        seed=seed,
        captions=captions,
        if_exists=if_exists,
    )


def tailor(
    run: Run | Path | str,
    gan_run: GanRun | Path | str,
    output: Path | str,
    *,
    user_id: str | None = None,
    liked: Sequence[str] = (),
    more_like: Sequence[str] = (),
    less_like: Sequence[str] = (),
    item_ids: Sequence[str] = (),
    images: Sequence[Path | str] = (),
    category: str | None = None,
    sample: int = 0,
    strengths: Sequence[float] = (0.5, 1.0, 2.0),
    keep: Sequence[str] = (),
    options: TailorOptions | None = None,
    second_run: Run | Path | str | None = None,
    seed: int = 0,
    dataset: Path | str | None = None,
    if_exists: IfExists = "error",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Tailors existing items to a user, and writes a folder that shows them; see `Tailor` and `write_tailored`.

    Args:
        run: a DVBPR run or its folder.
        gan_run: a GAN run or its folder.
        output: the folder to make.
        user_id: the user; or `liked`.
        liked: items that a new user liked.
        more_like: items that the tailored ones should be more like, see `Audience.toward`.
        less_like: items that they should be less like.
        item_ids: what to tailor.
        images: image files to tailor, of `category`.
        category: of the image files.
        sample: instead of all of these, so many random items, each for a random user.
        strengths: each gives an image per item.
        keep: what must stay of the items: "colour", "cut", or both.
        options: steps and starts of inversion and ascent, η.
        second_run: another recommender, to score before and after.
        seed: of the random latents, and of the sample.
        dataset: where the run's dataset is now, if it has been moved.
        if_exists: whether to replace a folder that is already there.
        progress: called with (items done, in all).

    Returns:
        What `tailored.json` holds.

    Raises:
        UnknownIdError: if a run does not know a user, an item or a category.
        ConfigError: if it is not clear what to tailor to whom, or an image cannot be read.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.designing.designer import Designer
    from tfdvbpr.designing.optimize.kept import check_kept
    from tfdvbpr.designing.tailor import Tailor, check_strengths
    from tfdvbpr.designing.tailored_folders import item_images, sampled_requests, write_tailored

    output = Path(output)
    check_output(output, if_exists=if_exists)
    check_strengths(strengths)
    check_kept(keep)
    opened, gan = opened_run(run), opened_gan(gan_run)
    second = None if second_run is None else opened_run(second_run)
    items = opened.open_dataset(dataset)
    size = gan.manifest.image_size
    if sample:
        if user_id or liked or more_like or less_like or item_ids or images:
            raise ConfigError("--sample takes random items and users. Leave out --user, --liked, --item and the like.")
        requests, rows = sampled_requests(opened, gan, items, count=sample, seed=seed)
        photos = item_images(items, rows, size)
    else:
        users = [user_id] if user_id else []
        audience = _audience(users, liked, more_like, less_like, runs=(opened, second))
        requests, photos = _tailor_requests(items, audience, item_ids, [Path(file) for file in images], category, size)
    for each in requests:
        gan.category_id(each.category)
    tailored = Tailor(Designer(opened, gan), options=options).tailor(
        [each.audience for each in requests],
        [each.category for each in requests],
        photos,
        seeds=range(seed, seed + len(requests)),
        strengths=strengths,
        keep=keep,
        progress=progress,
    )
    with whole_directory(output, if_exists=if_exists) as folder:
        return write_tailored(tailored, requests, folder, gan_run=gan, dataset=items, second_run=second)


def interpolate(
    run: Run | Path | str,
    gan_run: GanRun | Path | str,
    output: Path | str,
    *,
    first: str,
    last: str,
    num_frames: int = 9,
    if_exists: IfExists = "error",
) -> Interpolation:
    """Interpolates between two written designs, and writes a folder that shows it; see `write_interpolation`.

    Args:
        run: a DVBPR run or its folder.
        gan_run: the GAN run of both designs, or its folder.
        output: the folder to make.
        first: a design as "FOLDER:NUMBER" of a folder made by `design`.
        last: likewise.
        num_frames: images, both ends included.
        if_exists: whether to replace a folder that is already there.

    Raises:
        ConfigError: if a design does not exist or was made with another GAN, or the categories differ.
        UnknownIdError: if the run does not know the designs' users or items.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.designing import interpolate as interpolation
    from tfdvbpr.designing.designer import Designer

    output = Path(output)
    check_output(output, if_exists=if_exists)
    interpolation.check_frames(num_frames)
    designer = Designer(opened_run(run), opened_gan(gan_run))
    ends = [interpolation.WrittenDesign.read(name, designer) for name in (first, last)]
    found = interpolation.interpolate(designer, *ends, num_frames=num_frames)
    with whole_directory(output, if_exists=if_exists) as folder:
        interpolation.write_interpolation(found, folder, *ends, names=(first, last))
    return found


def generate(
    gan_run: GanRun | Path | str,
    output: Path | str,
    *,
    categories: Sequence[str] | None = None,
    count: int = 12,
    seed: int = 0,
    dataset: Path | str | None = None,
    if_exists: IfExists = "error",
) -> list[dict[str, Any]]:
    """Generates random images, and writes a folder that shows them; see `write_samples`.

    Args:
        gan_run: a GAN run or its folder.
        output: the folder to make.
        categories: each gives a row; all when left out.
        count: images per category.
        seed: of the first image of each category.
        dataset: where the GAN's dataset is now; left out, where it was, and nearest items are left out if it is gone.
        if_exists: whether to replace a folder that is already there.

    Raises:
        UnknownIdError: if the GAN does not know a category.
        ConfigError: if `count` is below 1.
        OutputExistsError: if `output` holds something already.
    """
    from tfdvbpr.designing.sample import write_samples

    gan = opened_gan(gan_run)
    for category in categories or ():
        gan.category_id(category)
    try:
        items = gan.open_dataset(dataset)
    except DatasetError:
        if dataset is not None:
            raise
        items = None
    return write_samples(
        gan,
        Path(output),
        categories=list(categories or gan.trained_categories),
        count=count,
        seed=seed,
        dataset=items,
        if_exists=if_exists,
    )


def _audience(
    user_ids: Sequence[str],
    liked: Sequence[str],
    more_like: Sequence[str],
    less_like: Sequence[str],
    *,
    runs: Sequence[Run | None],
) -> Audience:
    """The audience, checked before anything is computed: that each run knows its users and items."""
    from tfdvbpr.designing.audience import Audience, check_learns_from_pixels

    plain = Audience(tuple(dict.fromkeys(user_ids)), tuple(liked))
    audience = plain.toward(more_like=more_like, less_like=less_like)
    for run in runs:
        if run is not None:
            check_learns_from_pixels(run)
            run.user_indices(audience.user_ids)
            run.items.indices(audience.named_items)
    return audience


def _tailor_requests(
    dataset: Any,
    audience: Audience,
    item_ids: Sequence[str],
    files: Sequence[Path],
    category: str | None,
    image_size: tuple[int, int],
) -> tuple[list[TailorRequest], Any]:
    """Requests and their images, uint8 [N, H, W, 3]."""
    import numpy as np

    from tfdvbpr.data.images.decoding import checked_jpeg, decoder
    from tfdvbpr.designing.tailored_folders import TailorRequest, item_images

    if not item_ids and not files:
        raise ConfigError("Say what to tailor: --item ID, --image FILE with --category, or --sample N.")
    if files and category is None:
        raise ConfigError("--image must come with --category, the category of the images.")
    rows = dataset.items.indices(item_ids)
    table = dataset.items.table
    requests = [
        TailorRequest(item_id, table["category"][int(row)], audience)
        for item_id, row in zip(item_ids, rows, strict=True)
    ]
    parts = [item_images(dataset, rows, image_size)] if len(rows) else []
    fitted = decoder(image_size, dataset.manifest.fit)
    for path in files:
        requests.append(TailorRequest(path.name, str(category), audience))
        try:
            parts.append(fitted(checked_jpeg(path.read_bytes())).numpy()[None])
        except (OSError, ValueError) as error:
            raise ConfigError(f"--image must name an image file. {path} cannot be read: {error}.") from None
    return requests, np.concatenate(parts)
