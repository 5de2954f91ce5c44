"""A design whose client cancels or whose deadline passes: the server stops its work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from serving_toy_models import save_designer
from waiting import wait_until

from tfdvbpr.designing.options import DesignOptions
from tfdvbpr_export import export_designer
from tfdvbpr_export.options import HIGHEST_MAX_STEPS
from tfdvbpr_serving.client import AsyncClient, Client
from tfdvbpr_serving.config import BatchingOptions
from tfdvbpr_serving.errors import DeadlineError
from tfdvbpr_serving.server.server import LocalServer

FOREVER = 2_000_000_000


@dataclass(frozen=True)
class Served:
    """A server of a designer, and one of its categories."""

    server: LocalServer
    category: str


@pytest.fixture(scope="module", params=["toy", "exported"])
def designer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A designer whose loop only takes time, and an exported one with gradient ascent."""
    folder = tmp_path_factory.mktemp("slow") / "designer"
    if request.param == "toy":
        save_designer(folder / "1", work=250)
    else:
        runs = [request.getfixturevalue(name).path for name in ("tiny_run", "tiny_gan_run")]
        few = DesignOptions(num_starts=2, num_steps=2)
        export_designer(*runs, folder, options=few, max_steps=HIGHEST_MAX_STEPS)
    with LocalServer({"designer": folder}, batching=BatchingOptions(num_batch_threads=1)) as server:
        yield Served(server, "tops" if request.param == "toy" else "shirt")


def wait_for_ended(served: Served, status: str, count: int) -> None:
    """Until so many designs have ended with a status. Nothing but a cancellation ends FOREVER steps."""
    line = f'signature="design",status="{status}"}} {count}.0'
    wait_until(lambda: line in served.server.metrics.page().decode())


def test_a_deadline_ends_the_work(designer: Served) -> None:
    hurried = Client(designer.server.target, design_timeout_seconds=0.5)
    with hurried, pytest.raises(DeadlineError, match=r"within 0\.5 s"):
        hurried.design(["u0"], designer.category, num_steps=FOREVER)
    wait_for_ended(designer, "DEADLINE_EXCEEDED", 1)
    with Client(designer.server.target) as client:
        assert client.design(["u0"], designer.category)[0].steps == 2


def test_cancelled_tasks_end_their_work_and_leave_the_queue(designer: Served) -> None:
    """One design runs and eleven wait."""

    async def cancel_all() -> None:
        async with AsyncClient(designer.server.target) as client:
            tasks = [
                asyncio.ensure_future(client.design(["u0"], designer.category, num_steps=FOREVER)) for _ in range(12)
            ]
            while designer.server.models[0].waiting["design"] < 11:
                await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            errors = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(error, asyncio.CancelledError) for error in errors)
            await asyncio.to_thread(wait_for_ended, designer, "CANCELLED", 12)
            assert (await client.design(["u0"], designer.category))[0].steps == 2

    asyncio.run(cancel_all())
