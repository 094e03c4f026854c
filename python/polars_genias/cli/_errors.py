"""Exceptions that end a command."""

from __future__ import annotations


class UsageError(Exception):
    """An error in the command line, independent of the data."""


class EndedBySignal(KeyboardInterrupt):
    """A signal other than SIGINT ended the command."""
