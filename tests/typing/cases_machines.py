"""`chanstream.nats`: what crosses is typed by the codec, on both sides."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from typing import assert_type

from nats.aio.client import Client

from chanstream import Channel, Receiver, stream
from chanstream.nats import RemoteFailed, RemoteGone, ask_for, serve


async def served(client: Client, numbers: AsyncIterable[int], encode: Callable[[int], bytes]) -> None:
    await serve(numbers, client, "numbers", encode)
    await serve(numbers, client, "numbers", lambda number: str(number).encode())
    await serve(numbers, client, "numbers", str.encode)  # type: ignore[arg-type]
    await serve(numbers, client, "numbers", str)  # type: ignore[arg-type]
    await serve(numbers, client, b"numbers", encode)  # type: ignore[arg-type]
    await serve(numbers, client, "numbers")  # type: ignore[call-arg]
    await serve([1], client, "numbers", encode)  # type: ignore[arg-type]


async def asked(client: Client, decode: Callable[[bytes], int]) -> None:
    async with Channel[int]().fed_by(ask_for, client, "numbers", decode) as numbers:
        assert_type(numbers, Receiver[int])
    async with Channel[int]().fed_by(ask_for, client, "numbers", decode, patience=60) as numbers:
        assert_type(await anext(numbers), int)
    assert_type([number async for number in stream(ask_for, client, "numbers", decode)], list[int])
    Channel[str]().fed_by(ask_for, client, "numbers", decode)  # type: ignore[arg-type]
    Channel[int]().fed_by(ask_for, client, "numbers")  # type: ignore[arg-type]
    Channel[int]().fed_by(ask_for, client, 1, decode)  # type: ignore[arg-type]
    Channel[int]().fed_by(ask_for, client, "numbers", decode, patience="60")  # type: ignore[arg-type]


def caught(error: RemoteGone) -> RemoteFailed:
    return error
