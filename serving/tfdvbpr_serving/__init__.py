"""A client and a local server for the exported models.

`tfdvbpr_serving.client` loads no TensorFlow; `tfdvbpr_serving.server` does.
"""
