"""`python -m xpnn` is the command `xpnn`."""

from xpnn.cli import main

main()
