"""python -m tests.matrix: the sample that reaches every pair; with --hours N random cases until then."""

from .command import main

main()
