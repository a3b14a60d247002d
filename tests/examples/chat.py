"""A chat room on websockets: what is said reaches everyone who keeps up, and who is present is never out of date.

Run it, and talk as Ada, in as many terminals and under as many names as you like::

    python tests/examples/chat.py 8000
    python -m websockets ws://127.0.0.1:8000/Ada

No member waits for another one. Each has two streams: of what is said, where one that lags too far behind is dropped, and of who is
present, where one that is slow gets only the latest state. A member that is stuck in `send` is dropped like any other.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from chanstream import Channel, Itemizer, offer
from chanstream.stages import merged

LAG = 64  # how many messages a member may be behind
PAUSE = 0.01  # seconds from one message of a member to its next: what comes faster waits in its socket, so it floods no one
CLOSING = 1  # seconds that the members have to say goodbye when the server ends


class Said(NamedTuple):
    name: str
    text: str


class Present(NamedTuple):
    names: list[str]


Event = Said | Present


@dataclass(frozen=True, eq=False, slots=True)
class Member:
    name: str
    socket: ServerConnection
    say: Itemizer[Said]
    show: Itemizer[Present]


class Room:
    def __init__(self) -> None:
        self.members: set[Member] = set()

    async def join(self, socket: ServerConnection) -> None:
        said = Channel[Said](buffer=LAG)
        present = Channel[Present](buffer=1, drop_oldest=True)
        assert socket.request
        name = socket.request.path.strip("/")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send_all(socket, said.receiver, present.receiver))
            # Both streams end when the connection does, and with them the task.
            async with said.sender as say, present.sender as show:
                with suppress(ConnectionClosed), self.entered_by(Member(name, socket, say, show)):
                    async for text in socket:
                        self.publish(Said(name, str(text)))
                        await asyncio.sleep(PAUSE)

    @contextmanager
    def entered_by(self, member: Member) -> Iterator[None]:
        self.members.add(member)
        self.show_presence()
        try:
            yield
        finally:
            self.members.remove(member)
            self.show_presence()

    def publish(self, said: Said) -> None:
        for member in self.members:
            if not offer(member.say, said):
                # It is gone at once: a closing handshake would wait behind the messages that it doesn't read.
                member.socket.transport.abort()

    def show_presence(self) -> None:
        present = Present(sorted(member.name for member in self.members))
        for member in self.members:
            offer(member.show, present)  # always has room


async def send_all(socket: ServerConnection, said: AsyncIterable[Said], present: AsyncIterable[Present]) -> None:
    async with Channel[Event]().fed_by(merged(said, present)) as events:
        with suppress(ConnectionClosed):
            async for event in events:
                await socket.send(json.dumps({"event": type(event).__name__, **event._asdict()}))


async def main() -> None:
    loop = asyncio.get_running_loop()
    async with serve(Room().join, "127.0.0.1", int(sys.argv[1])) as server:
        print("listening on port", server.sockets[0].getsockname()[1], flush=True)
        try:
            await loop.create_future()  # until it is cancelled
        finally:
            # The server waits for its members' goodbyes, and has no time limit for one whose connection is full.
            for connection in server.connections:
                loop.call_later(CLOSING, connection.transport.abort)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
