"""From a run folder to versioned SavedModels."""
