"""Training of the conditional GAN: batches, one step of both networks, the trainer and the run."""
