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
import threading
from collections.abc import Callable

from chanstream import Channel, Itemizer


def read_lines(host: str, port: int, on_line: Callable[[str], None], stop: threading.Event) -> None:
    """Blocks and calls back, as the clients of many services do. Knows nothing of asyncio."""
    with socket.create_connection((host, port)) as connection:
        connection.settimeout(0.1)
        rest = b""
        while not stop.is_set():
            try:
                data = connection.recv(1 << 16)
            except TimeoutError:
                continue
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                on_line(line.decode())


async def lines_from_thread(itemize: Itemizer[str], host: str, port: int) -> None:
    """To be run with `Channel.fed_by`: that closes the receiver before it cancels, which gets the thread out of its callback."""
    loop = asyncio.get_running_loop()
    stop = threading.Event()

    def on_line(line: str) -> None:
        asyncio.run_coroutine_threadsafe(itemize(line), loop).result()

    reading = loop.run_in_executor(None, read_lines, host, port, on_line, stop)
    try:
        await asyncio.shield(reading)  # a thread can't be cancelled, only told to stop
    finally:
        stop.set()
        await reading  # may raise the ReceiverClosed that came out of the callback: it ends the block quietly


async def print_lines(host: str, port: int, count: int) -> None:
    async with Channel[str]().fed_by(lines_from_thread, host, port) as lines:
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
