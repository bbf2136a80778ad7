"""``python -m mtad`` is the command ``mtad``."""

from mtad.cli import main

main()
