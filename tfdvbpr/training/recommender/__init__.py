"""Training of a recommender: batches, the objective, one step with its trainer, and the run."""
