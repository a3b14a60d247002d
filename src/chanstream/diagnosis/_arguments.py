"""Checks of the use of `deadline`, `profile` and `on_signal`, with the wording of their errors."""

from __future__ import annotations

from math import inf

__all__ = ["check_live", "check_once", "check_seconds", "check_signal"]


def check_seconds(seconds: object) -> None:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        message = f"deadline takes a number of seconds, not {type(seconds).__name__}"
        raise TypeError(message)
    if not 0 <= seconds < inf:
        message = f"deadline takes a number of seconds, 0 or more and finite, not {seconds}"
        raise ValueError(message)


def check_live(live: object) -> None:
    if not isinstance(live, bool):
        message = f"profile(live=...) takes True or False, not {type(live).__name__}"
        raise TypeError(message)


def check_signal(signum: object) -> None:
    if not isinstance(signum, int):
        message = f"on_signal takes a signal, such as signal.SIGUSR1, not {type(signum).__name__}"
        raise TypeError(message)


def check_once(name: str, *, was_entered: bool) -> None:
    if was_entered:
        message = f"this {name} has been entered before, and is for one block: call {name}() again for another"
        raise RuntimeError(message)
