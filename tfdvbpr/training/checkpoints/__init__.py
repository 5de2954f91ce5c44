"""Training state on disk: one checkpoint file (`file`), the folder and its checkpoints (`manager`), and signals."""
