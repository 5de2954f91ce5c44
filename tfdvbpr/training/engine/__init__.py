"""The training loop: steps over all replicas (`loop`), Keras callbacks (`callbacks`, `tensorboard`), and one training
from its first step to its run folder, however often it is interrupted (`session`).
"""
