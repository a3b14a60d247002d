"""The chat room, with clients of the websockets library on sockets of the loopback interface."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError

from tests.examples.chat import CLOSING, LAG, Room
from tests.test_example_relay import once
from tests.test_examples import SLOW

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parent / "examples" / "chat.py"
TIMEOUT = 60
LARGE = "x" * 200_000
Event = dict[str, object]


@asynccontextmanager
async def opened(room: Room) -> AsyncIterator[str]:
    """The address of a room. When it closes, all of its tasks have ended."""
    before = asyncio.all_tasks()
    async with asyncio.timeout(TIMEOUT):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            # Messages that are not read by their client shall soon fill the connection.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
            async with serve(room.join, sock=listener, compression=None):
                yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        while not asyncio.all_tasks() <= before:
            await asyncio.sleep(0.01)


class Client:
    """A member that has come in."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def next(self) -> Event:
        event: Event = json.loads(await self.connection.recv())
        return event

    async def until(self, *wanted: Event) -> list[Event]:
        """The events up to one of the wanted ones."""
        events = [await self.next()]
        while events[-1] not in wanted:
            events.append(await self.next())
        return events

    async def until_its_end(self, events: list[Event]) -> None:
        while True:
            events.append(await self.next())

    async def say(self, text: str) -> list[Event]:
        """The events up to the echo, so that this client is never behind."""
        await self.connection.send(text)
        return await self.until(said(self.name, text))

    @property
    def name(self) -> str:
        assert self.connection.request
        return self.connection.request.path.strip("/")


@asynccontextmanager
async def member(url: str, name: str) -> AsyncIterator[Client]:
    # It stops reading from its socket when it has so many messages in hand.
    async with connect(f"{url}/{name}", compression=None, max_queue=1, close_timeout=TIMEOUT) as connection:
        yield Client(connection)


def said(name: str, text: str) -> Event:
    return {"event": "Said", "name": name, "text": text}


def present(*names: str) -> Event:
    return {"event": "Present", "names": list(names)}


async def test_all_members_get_what_is_said_in_order_and_the_names_of_those_present() -> None:
    """Rules 1 and 24."""
    async with opened(Room()) as url, member(url, "Ada") as ada:
        await ada.until(present("Ada"))
        async with member(url, "Bob") as bob:
            await bob.until(present("Ada", "Bob"))
            await ada.until(present("Ada", "Bob"))
            for number in range(100):
                await bob.connection.send(str(number))
            expected = [said("Bob", str(number)) for number in range(100)]
            assert await ada.until(expected[-1]) == expected
            assert await bob.until(expected[-1]) == expected
        assert await ada.until(present("Ada")) == [present("Ada")]


async def test_a_member_that_is_stuck_in_send_is_dropped_and_gone_and_no_other_waits() -> None:
    """Rules 24 and 17: an offer never waits, and no task outlives its block."""
    room = Room()
    async with opened(room) as url, member(url, "Ada") as ada:
        async with member(url, "Stuck") as stuck:
            await ada.until(present("Ada", "Stuck"))
            spoken = 0
            while len(room.members) == 2:
                await ada.say(LARGE)
                spoken += 1
            assert spoken > LAG
            await ada.until(present("Ada"))
            received: list[Event] = []
            with pytest.raises(ConnectionClosedError):
                await stuck.until_its_end(received)
            assert 0 < len(received) < spoken - LAG
        await ada.say("go on")


async def test_a_slow_member_gets_only_the_latest_presence() -> None:
    """Rule 25: a full buffer loses its oldest item for the new one. A message is no state: none is lost."""
    room = Room()
    async with opened(room) as url, member(url, "Slow") as slow, member(url, "Ada") as ada:
        await slow.until(present("Ada", "Slow"))
        for _ in range(LAG // 2):  # until its connection is full
            await ada.say(LARGE)
        for number in range(100):
            async with member(url, f"{number}"):
                await ada.until(present(f"{number}", "Ada", "Slow"))
            await ada.until(present("Ada", "Slow"))
        await ada.say("last")
        async with member(url, "Zoe"):
            events: list[Event] = []
            while said("Ada", "last") not in events or present("Ada", "Slow", "Zoe") not in events:
                events.append(await slow.next())
    states = [event for event in events if event["event"] == "Present"]
    assert states[-1] == present("Ada", "Slow", "Zoe")
    assert len(states) < 10
    assert [event for event in events if event not in states] == [said("Ada", LARGE)] * (LAG // 2) + [said("Ada", "last")]


async def test_a_client_that_vanishes_leaves_the_room() -> None:
    """Rule 6: both of its streams end with the connection."""
    async with opened(Room()) as url, member(url, "Ada") as ada, member(url, "Bob") as bob:
        await ada.until(present("Ada", "Bob"))
        bob.connection.transport.abort()
        await ada.until(present("Ada"))


@once
@pytest.mark.parametrize("stuck", [False, True])
async def test_the_program_ends_by_ctrl_c_with_a_member(*, stuck: bool) -> None:
    """Rule 17: also while a task waits in `send` for one that reads nothing."""
    async with asyncio.timeout(TIMEOUT), AsyncExitStack() as clients:
        program = await create_subprocess_exec(sys.executable, "-X", "dev", "-W", "error", PROGRAM, "0", stdout=PIPE, stderr=PIPE)
        try:
            assert program.stdout
            _, _, port = (await program.stdout.readline()).decode().rpartition(" ")
            url = f"ws://127.0.0.1:{int(port)}"
            ada = await clients.enter_async_context(member(url, "Ada"))
            await ada.until(present("Ada"))
            if stuck:
                idle = await clients.enter_async_context(member(url, "Stuck"))
                clients.callback(idle.connection.transport.abort)  # its closing handshake would wait
                idle.connection.transport.pause_reading()
                for _ in range(LAG // 2):  # until its connection is full
                    await ada.say(LARGE)
            await ada.say("Hello")
            program.send_signal(signal.SIGINT)
            await ada.connection.wait_closed()
            interrupted = time.monotonic()
            _, err = await program.communicate()
            # By itself websockets looks at the stuck one 20 seconds later, when it is to be pinged.
            assert time.monotonic() - interrupted < 10 * CLOSING
        finally:
            with suppress(ProcessLookupError):
                program.kill()
    assert (SLOW.sub("", err.decode()), program.returncode) == ("", 0)
