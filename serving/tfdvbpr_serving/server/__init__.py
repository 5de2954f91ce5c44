"""The local server, with TensorFlow.

server.py: `LocalServer` and its gRPC services; rest.py, rest_json.py: REST; predictor.py: predictions and metrics for
both protocols; access.py: TLS, tokens; decoding.py, image_worker.py: images; batching.py: joined requests; runners.py:
one signature; requests.py: deadlines and statuses.
"""
