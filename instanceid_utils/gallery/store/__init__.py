"""The inside of `instanceid_utils.gallery.gallery`: vectors, their index, their owners, their file.

From the bottom up: `journal` and `blocks`, `kmeans`, `cells` and `growing_cells`, `vector_index`,
`identity_table` and `exemplars`, `core`, which puts them together; beside it `checks` (of
arguments) and `audit` (of everything), `state` and `file` (to and from the disk).
"""
