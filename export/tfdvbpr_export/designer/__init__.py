"""The designer as a SavedModel.

`heads`: a method for each served signature (design, tailor, generate), its example requests, `export_designer`.
`tailoring`: inversion and tailoring of an image inside the graph.
"""
