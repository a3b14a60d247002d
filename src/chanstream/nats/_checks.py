"""Checks of the arguments of `serve` and `ask_for`."""

from __future__ import annotations

import re
from typing import Final

from nats.aio.client import Client

from . import _errors as errors

__all__ = ["check", "check_patience", "check_payload"]

SUBJECT: Final = re.compile(r"[^\s.*>]+(\.[^\s.*>]+)*")


def check(client: object, subject: object, name: str, codec: object) -> None:
    if not isinstance(client, Client):
        raise errors.not_a_client(client)
    if not isinstance(subject, str):
        raise errors.not_a_subject(subject)
    if not SUBJECT.fullmatch(subject):
        raise errors.no_one_subject(subject)
    if not callable(codec):
        raise errors.not_a_codec(name, codec)


def check_patience(patience: object) -> None:
    if not isinstance(patience, int | float) or isinstance(patience, bool):
        raise errors.not_a_patience(patience)
    if not patience >= 0:  # which a nan is not either
        raise errors.negative_patience(patience)


def check_payload(subject: str, data: object, limit: int) -> None:
    if not isinstance(data, bytes):
        raise errors.not_bytes(data)
    if len(data) > limit:
        raise errors.too_large(subject, len(data), limit)
