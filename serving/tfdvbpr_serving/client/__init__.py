"""The client of the served models, without TensorFlow.

client.py, designer.py: `Client`, `AsyncClient` and their methods, written once; arguments.py: checks of arguments;
responses.py, image_responses.py, model_info.py: what they return; channels.py: TLS, retries, compression.
"""

from tfdvbpr_serving.client.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]
