"""How good recommenders (`ranking`), generated images (`generative`) and designs for users (`designs`) are."""
