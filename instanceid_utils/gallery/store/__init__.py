"""The inside of `Gallery`: vectors, their index, their owners, their file.

From the bottom up: `checks` (of arguments), `rows`, `inverted_file`, `vector_index`, `identities`,
`core`, which puts them together; beside it `audit` (of everything), and `state` and `file`, which
take it to the disk and back.
"""
