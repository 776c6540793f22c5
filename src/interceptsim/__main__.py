"""Lets `python -m interceptsim` do what the command does."""

from interceptsim.cli import main

main()
