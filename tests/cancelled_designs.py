"""A design whose client cancels or whose deadline passes: the server stops its work.

The designer bounds a request at FOREVER steps, and its server has one thread for designs.
"""

from __future__ import annotations

import asyncio

import pytest
from waiting import wait_until

from tfdvbpr_serving.client import AsyncClient, Client
from tfdvbpr_serving.errors import DeadlineError
from tfdvbpr_serving.server.server import LocalServer

FOREVER = 2_000_000_000


def _wait_for_ended(server: LocalServer, status: str, count: int) -> None:
    """Until so many designs have ended with a status. Nothing but a cancellation ends FOREVER steps."""
    line = f'signature="design",status="{status}"}} {count}.0'
    wait_until(lambda: line in server.metrics.page().decode())


def check_that_a_deadline_ends_the_work(server: LocalServer, category: str) -> None:
    """And that the server designs again."""
    hurried = Client(server.target, design_timeout_seconds=0.5)
    with hurried, pytest.raises(DeadlineError, match=r"within 0\.5 s"):
        hurried.design(["u0"], category, num_steps=FOREVER)
    _wait_for_ended(server, "DEADLINE_EXCEEDED", 1)
    with Client(server.target) as client:
        assert client.design(["u0"], category, num_steps=2)[0].steps == 2


def check_that_cancelled_tasks_leave_the_queue(server: LocalServer, model: str, category: str) -> None:
    """One design runs and eleven wait."""
    served = next(one for one in server.models if one.name == model)

    async def cancel_all() -> None:
        async with AsyncClient(server.target) as client:
            tasks = [asyncio.ensure_future(client.design(["u0"], category, num_steps=FOREVER)) for _ in range(12)]
            while served.waiting["design"] < 11:
                await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            errors = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(error, asyncio.CancelledError) for error in errors)
            await asyncio.to_thread(_wait_for_ended, server, "CANCELLED", 12)
            assert (await client.design(["u0"], category, num_steps=2))[0].steps == 2

    asyncio.run(cancel_all())
