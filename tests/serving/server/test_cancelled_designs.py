"""A designer whose loop only takes time. tests/export/test_export_served.py: the same with gradient ascent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cancelled_designs import check_that_a_deadline_ends_the_work, check_that_cancelled_tasks_leave_the_queue
from serving_toy_models import save_designer

from tfdvbpr_serving.config import BatchingOptions
from tfdvbpr_serving.server.server import LocalServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    folder = tmp_path_factory.mktemp("slow") / "designer"
    save_designer(folder / "1", work=250)
    with LocalServer({"designer": folder}, batching=BatchingOptions(num_batch_threads=1)) as server:
        yield server


def test_a_deadline_ends_the_work(server: LocalServer) -> None:
    check_that_a_deadline_ends_the_work(server, "tops")


def test_cancelled_tasks_end_their_work_and_leave_the_queue(server: LocalServer) -> None:
    check_that_cancelled_tasks_leave_the_queue(server, "designer", "tops")
