"""Networks and baselines: recommenders, GANs, backbones, off-the-shelf features. They know nothing of run folders or
servers."""
