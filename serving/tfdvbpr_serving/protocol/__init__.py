"""TensorFlow Serving's protocol without TensorFlow.

*.proto and the code generated from them (`make proto`); messages.py: paths of methods, requests, arrays to tensors.
"""
