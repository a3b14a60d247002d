"""The errors of `chanstream.nats`, and all of their wording."""

from __future__ import annotations

__all__ = ["RemoteFailed", "RemoteGone"]


class RemoteFailed(Exception):
    """Raised by `ask_for`: the stream failed on the serving machine, so it is not complete. The message holds the error's text."""


class RemoteGone(RemoteFailed):
    """Raised by `ask_for`: no process serves the stream, or the one that did has died or stopped, so the stream is not complete."""


def not_installed() -> ImportError:
    return ImportError("chanstream.nats needs nats-py, which is not installed: pip install 'chanstream[nats]'")


def remote_failed(subject: str, reason: str) -> RemoteFailed:
    return RemoteFailed(
        f"the stream {subject!r} failed on the machine that serves it: what was sent before has been delivered, the rest is "
        f"missing; fix the reason there: {reason}"
    )


def not_served(subject: str, patience: float) -> RemoteGone:
    return RemoteGone(
        f"no process serves {subject!r}, and none came in {patience:g} seconds: start serve() first, or give ask_for() more "
        "patience"
    )


def remote_gone(subject: str) -> RemoteGone:
    return RemoteGone(
        f"the process that served {subject!r} has died or was stopped: what was sent before has been delivered, the rest is "
        "missing; look there for the reason, and begin a new stream"
    )


def not_a_client(client: object) -> TypeError:
    return TypeError(f"client takes a nats.aio.client.Client, not {type(client).__name__}: pass what nats.connect() returns")


def not_a_subject(subject: object) -> TypeError:
    return TypeError(f"subject takes a str, not {type(subject).__name__}")


def no_one_subject(subject: str) -> ValueError:
    return ValueError(f"subject takes a NATS subject without spaces and wildcards, such as 'rows.raw', not {subject!r}")


def not_a_codec(name: str, codec: object) -> TypeError:
    return TypeError(f"{name} takes a function, such as str.encode or bytes.decode, not {type(codec).__name__}")


def not_bytes(data: object) -> TypeError:
    return TypeError(f"encode takes a function that returns bytes; it returned {type(data).__name__}")


def too_large(subject: str, size: int, limit: int) -> ValueError:
    return ValueError(
        f"an item of {subject!r} has {size:,} bytes when encoded, and the NATS server takes at most {limit:,}: send smaller items, "
        "or raise max_payload in its configuration"
    )


def not_a_patience(patience: object) -> TypeError:
    return TypeError(f"patience takes a number of seconds, not {type(patience).__name__}")


def negative_patience(patience: float) -> ValueError:
    return ValueError(f"patience takes a number of seconds that is not negative, not {patience}")
