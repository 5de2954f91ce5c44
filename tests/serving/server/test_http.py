from __future__ import annotations

import socket
import threading
from typing import Any

from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.server.http import HttpThread


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Answers nothing."""


def test_connections_are_accepted_before_the_thread_runs() -> None:
    http = HttpThread(_app, host="127.0.0.1", port=0, limits=ServerLimits())
    http._thread = threading.Thread(target=lambda: None)  # the slowest start that a busy machine can give it
    http.start()
    try:
        socket.create_connection(("127.0.0.1", http.port), timeout=10).close()
    finally:
        http.stop(grace_seconds=0)
