"""`python -m xpnn.cli` is the command `xpnn`."""

from xpnn.cli import main

main()
