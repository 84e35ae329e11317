"""`python -m emulator` is `dynamic-sessions`."""

from emulator.cli import main

main()
