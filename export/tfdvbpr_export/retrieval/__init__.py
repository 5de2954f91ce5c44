"""The catalogue in the graph, and how its best items are found.

`indexes`: ids, item embeddings in 32, 16 or 8 bits, TensorFlow Recommenders' BruteForce and ScaNN.
`search`: exact search, the ranking of a request (k, category, exclusions, ties), the items nearest to an image.
"""
