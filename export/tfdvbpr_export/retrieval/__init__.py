"""The catalogue in the graph, and how its best items are found.

`indexes`: ids, item embeddings in 32, 16 or 8 bits, TensorFlow Recommenders' BruteForce and ScaNN.
`search`: exact search, with ties in the order of the catalogue.
`ranking`: the ranking of a request (k, category, exclusions, filters), the items nearest to an image.
"""
