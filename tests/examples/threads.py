"""Objects from another thread: a blocking client calls back with every line that it reads, and an `async for` loop takes them.

Run it with the address of a server that sends lines, and how many of them to print at most::

    python tests/examples/threads.py 127.0.0.1 9000 10

While the loop is busy, the thread waits in its callback and reads no further. The thread ends before the `fed_by` block does: when
the server has sent everything, when the loop has enough, and when Ctrl-C ends the program.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

from chanstream import Channel, Receiver, in_thread


class LineClient:
    """Blocks and calls back, as the clients of many services do. Knows nothing of asyncio."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._connection = socket.socket()

    def run(self, on_line: Callable[[str], None]) -> None:
        with self._connection as connection, connection.makefile(encoding="utf-8") as lines:
            connection.connect(self._address)
            for line in lines:
                on_line(line.rstrip("\n"))

    def stop(self) -> None:
        """Have `run` return, even if the server is silent."""
        with suppress(OSError):  # it isn't connected any more
            self._connection.shutdown(socket.SHUT_RDWR)


def lines_of(host: str, port: int, ahead: int = 0) -> AbstractAsyncContextManager[Receiver[str]]:
    """A block that binds the lines. At most `ahead` of them are on their way; with 0 the callback returns when the loop is back."""
    client = LineClient(host, port)
    return Channel[str]().fed_by(in_thread(client.run, ahead=ahead, stop=client.stop))


async def print_lines(host: str, port: int, count: int) -> None:
    async with lines_of(host, port, ahead=64) as lines:
        async for line in lines:
            print(line, flush=True)
            count -= 1
            if not count:
                break


def main() -> None:
    _, host, port, count = sys.argv
    try:
        asyncio.run(print_lines(host, int(port), int(count)))
    except KeyboardInterrupt:
        sys.exit("interrupted")


if __name__ == "__main__":
    main()
