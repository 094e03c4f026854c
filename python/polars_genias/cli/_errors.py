"""What ends a command."""

from __future__ import annotations


class UsageError(Exception):
    """The command line is wrong, whatever the data."""


class EndedBySignal(KeyboardInterrupt):
    """A signal other than that of Ctrl-C has ended the command."""
