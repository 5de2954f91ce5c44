"""The designer as a SavedModel.

`heads`: a method for each served signature (design, tailor, generate), its example requests, `export_designer`.
`audience`: whom a design is for.
`tailoring`: inversion and tailoring of an image inside the graph.
"""
