"""The matrix: combinations of everything that xpnn promises, drawn from its own tables and held to the truth.

`factors` has the factors, their levels and which combinations are none; `cover` draws cases that reach
every pair of levels; `arrays` and `calls` make of a case arrays and a call; `truth` says what may come out;
`check` computes a case and holds it to all of that; `python -m tests.matrix` is the command.
"""
