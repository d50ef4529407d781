"""`python -m service`: the same as the command `courier`."""

from service.cli import main

main()
