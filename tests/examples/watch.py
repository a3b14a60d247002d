"""Events of an SDK that calls back in threads of its own: watchdog, which watches a directory.

Run it with a directory, and it prints what happens to the files there, until Ctrl-C::

    python tests/examples/watch.py DIRECTORY            every event: while the loop is busy, the callback waits
    python tests/examples/watch.py DIRECTORY --latest   the callback never waits: while the loop is busy, the oldest events are lost
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import CancelledError
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

from typing_extensions import override
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from chanstream import BlockingItemizer, Channel, Itemizer, Receiver, ReceiverClosed, in_thread, offer


class Handler(FileSystemEventHandler):
    """What watchdog calls in its thread."""

    def __init__(self, on_event: Callable[[FileSystemEvent], object]) -> None:
        self._on_event = on_event

    @override
    def on_any_event(self, event: FileSystemEvent) -> None:
        # When the consumer has left, `stop` is about to end this thread. An error would only be printed.
        with suppress(CancelledError, ReceiverClosed):
            self._on_event(event)


def every_event(directory: Path) -> AbstractAsyncContextManager[Receiver[FileSystemEvent]]:
    """With back-pressure. `stop` joins the thread of the callback, whose wait for the loop, if any, has been ended before."""
    observer = Observer()

    def watch(itemize: BlockingItemizer[FileSystemEvent]) -> None:
        observer.schedule(Handler(itemize), str(directory))
        observer.start()
        observer.join()

    return Channel[FileSystemEvent]().fed_by(in_thread(watch, ahead=64, stop=observer.stop))


def latest_events(directory: Path, most: int = 64) -> AbstractAsyncContextManager[Receiver[FileSystemEvent]]:
    """Without: at most `most` events wait for the loop, the newest ones. The callback never waits, so `stop` is not needed."""

    async def watch(itemize: Itemizer[FileSystemEvent]) -> None:
        loop = asyncio.get_running_loop()
        observer = Observer()
        handler = Handler(lambda event: loop.call_soon_threadsafe(offer, itemize, event))
        observer.schedule(handler, str(directory))
        observer.start()
        try:
            await loop.create_future()  # until it is cancelled
        finally:
            observer.stop()
            observer.join()

    return Channel[FileSystemEvent](buffer=most, drop_oldest=True).fed_by(watch)


async def print_events(watching: AbstractAsyncContextManager[Receiver[FileSystemEvent]]) -> None:
    async with watching as events:
        async for event in events:
            print(event.event_type, Path(str(event.src_path)).name, flush=True)


def main() -> None:
    _, directory, *options = sys.argv
    watching = (latest_events if options == ["--latest"] else every_event)(Path(directory))
    with suppress(KeyboardInterrupt):
        asyncio.run(print_events(watching))


if __name__ == "__main__":
    main()
