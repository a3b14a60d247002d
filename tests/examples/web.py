"""A web server that streams: a page of live gauges, as server-sent events.

Run it, and open the page, or look at the events themselves::

    python tests/examples/web.py 8000
    curl --no-buffer http://127.0.0.1:8000/gauges

Every client gets a channel of its own, which one task for each gauge writes to. The response owns these tasks: they end before it
does, however it ends. A client that reads slowly is sent less, and one that disconnects ends its tasks.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from chanstream import Channel, Itemizer

PAGE = """\
<!DOCTYPE html><title>Gauges</title><p>Tasks: <b id="tasks"></b>, seconds of CPU time: <b id="cpu"></b></p>
<script>
    const gauges = new EventSource("/gauges");
    for (const b of document.querySelectorAll("b")) gauges.addEventListener(b.id, event => b.textContent = event.data);
</script>
"""


class Gauge(NamedTuple):
    name: str
    read: Callable[[], object]
    pause: float  # seconds between two readings


GAUGES = (Gauge("tasks", lambda: len(asyncio.all_tasks()), 0.1), Gauge("cpu", time.process_time, 0.5))


async def watch(gauge: Gauge, itemize: Itemizer[str]) -> None:
    print("watching", gauge.name, flush=True)
    try:
        while True:
            await itemize(f"event: {gauge.name}\ndata: {gauge.read()}\n\n")
            await asyncio.sleep(gauge.pause)
    finally:
        print("stopped watching", gauge.name, flush=True)


async def watch_all(itemize: Itemizer[str], gauges: Sequence[Gauge]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for gauge in gauges:
            tasks.create_task(watch(gauge, itemize))


class GaugesResponse(StreamingResponse):
    """Runs its producers inside of `__call__`. An async generator as the body would be left to the garbage collector."""

    def __init__(self, gauges: Sequence[Gauge]) -> None:
        self.gauges = gauges
        self.channel = Channel[str]()
        super().__init__(self.channel.receiver, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.channel.fed_by(watch_all, self.gauges):
            await super().__call__(scope, receive, send)


def create_app(gauges: Sequence[Gauge] = GAUGES) -> Starlette:
    async def stream_gauges(_: Request) -> GaugesResponse:
        return GaugesResponse(gauges)

    return Starlette(routes=[Route("/", HTMLResponse(PAGE)), Route("/gauges", stream_gauges)])


def main() -> None:
    uvicorn.run(
        create_app(), port=int(sys.argv[1]), timeout_graceful_shutdown=1
    )  # it would wait for ever for streams without an end


if __name__ == "__main__":
    main()
