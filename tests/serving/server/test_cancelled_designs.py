"""A design whose caller goes away or whose time is up: the server stops, as its processor time shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from serving_toy_models import save_designer

from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.run import GanRun, Run
from tfdvbpr_export import DesignerLimits, export_designer
from tfdvbpr_export.options import MOST_STEPS
from tfdvbpr_serving.client import AsyncClient, Client
from tfdvbpr_serving.errors import DeadlineError
from tfdvbpr_serving.server.server import LocalServer

FOREVER = 2_000_000_000


@dataclass(frozen=True)
class Served:
    """A server of a designer, and a category it draws."""

    server: LocalServer
    category: str


@pytest.fixture(scope="module", params=["toy", "exported"])
def designer(
    request: pytest.FixtureRequest, tiny_run: Run, tiny_gan_run: GanRun, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """One of a loop that only burns time, and one of trained networks that ascend."""
    folder = tmp_path_factory.mktemp("slow") / "designer"
    if request.param == "toy":
        save_designer(folder / "1", work=250)
    else:
        few = DesignOptions(num_starts=2, num_steps=2)
        export_designer(
            tiny_run.path, tiny_gan_run.path, folder, options=few, limits=DesignerLimits(max_steps=MOST_STEPS)
        )
    with LocalServer({"designer": folder}) as server:
        yield Served(server, "tops" if request.param == "toy" else "shirt")


def assert_idle() -> None:
    """This process, server and all, does next to nothing."""
    time.sleep(0.2)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.25


def seconds_of_work(seconds: float) -> float:
    before = time.process_time()
    time.sleep(seconds)
    return time.process_time() - before


def test_a_deadline_ends_the_work(designer: Served) -> None:
    with Client(designer.server.target, design_timeout_seconds=0.5) as client:
        with pytest.raises(DeadlineError, match=r"within 0\.5 s"):
            client.design(["u0"], designer.category, num_steps=FOREVER)
        assert_idle()
        assert client.design(["u0"], designer.category)[0].steps == 2
    page = designer.server.metrics.page().decode()
    assert 'signature="design",status="DEADLINE_EXCEEDED"} 1.0' in page


def test_a_cancelled_task_ends_the_work(designer: Served) -> None:
    async def give_up() -> float:
        async with AsyncClient(designer.server.target) as client:
            task = asyncio.ensure_future(client.design(["u0"], designer.category, num_steps=FOREVER))
            await asyncio.sleep(0.3)
            worked = await asyncio.to_thread(seconds_of_work, 0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return worked

    assert asyncio.run(give_up()) > 0.1  # it was at work before
    assert_idle()


def test_designs_in_the_queue_of_callers_who_left_are_not_begun(designer: Served) -> None:
    async def crowd() -> None:
        async with AsyncClient(designer.server.target) as client:
            tasks = [
                asyncio.ensure_future(client.design(["u0"], designer.category, num_steps=FOREVER)) for _ in range(12)
            ]
            await asyncio.sleep(0.5)
            for task in tasks:
                task.cancel()
            assert all(
                isinstance(e, asyncio.CancelledError) for e in await asyncio.gather(*tasks, return_exceptions=True)
            )
            assert (await client.design(["u0"], designer.category))[0].steps == 2

    asyncio.run(crowd())
    assert_idle()
