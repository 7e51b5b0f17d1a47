"""``python -m mpingest`` is the ``mpingest`` command."""

from mpingest.cli import main

main()
