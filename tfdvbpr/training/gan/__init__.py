"""Training of the conditional GAN: batches, one step of both networks, variety, the trainer and the run."""
