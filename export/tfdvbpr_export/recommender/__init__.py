"""The recommender as a SavedModel.

`heads`: a method for each served signature, its example requests, `export_recommender`, `update_served_items`.
`catalogue`: the items. `users`: user embeddings, seen items, and fold-in of new users from items they like.
"""
