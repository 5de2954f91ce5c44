"""The thin client: blocking and asyncio, typed answers, no TensorFlow in the process."""

from tfdvbpr_serving.client.blocking import Client

__all__ = ["Client"]
