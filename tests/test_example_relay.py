"""The token relay, between a real upstream and real clients on sockets of the loopback interface."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from tests.examples.relay import COMPLETE, STILL_THERE, create_app
from tests.loops import LOOPS

pytestmark = pytest.mark.slow
once = pytest.mark.asyncio(loop_factories=[next(iter(LOOPS))])  # of a program, which has a loop of its own

PROGRAM = Path(__file__).parent / "examples" / "relay.py"
TIMEOUT = 60
FOR_EVER = 3600.0
TOKENS = ("The qui", "ck", " fox", " jumps.", " Over ", "the dog", "! And", " on")
WHOLE = "The quick fox jumps. Over the dog! And"  # the words of which it is known that they are


class Upstream:
    """Answers as the prompt says."""

    def __init__(self) -> None:
        self.open = 0
        self.tokens = 0
        self.resume = asyncio.Event()
        self.app = Starlette(routes=[Route("/", self.answer)])

    async def answer(self, request: Request) -> Response:
        prompt = request.query_params["prompt"]
        return PlainTextResponse(status_code=503) if prompt == "refuse" else StreamingResponse(self.write(prompt))

    async def write(self, prompt: str) -> AsyncIterator[str]:
        self.open += 1
        try:
            for token in TOKENS:
                yield json.dumps(token) + "\n"
            match prompt:
                case "break":
                    raise ConnectionAbortedError
                case "silent":
                    await asyncio.get_running_loop().create_future()
                case "pause":
                    await self.resume.wait()
                    yield json.dumps(" after it.") + "\n"
                case "endless":
                    while True:
                        self.tokens += 1
                        await asyncio.sleep(0)  # uvicorn's `send` waits for nothing when the client has gone
                        yield json.dumps(f" {'x' * 10_000}.") + "\n"
                case _:
                    pass
        finally:
            self.open -= 1


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """The address of a server that runs in this event loop. When told to end, it waits until its requests have ended."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=TIMEOUT))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def relaying(upstream: Upstream, silence: float = FOR_EVER) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a relay of the upstream. No task is left of them."""
    before = asyncio.all_tasks()
    async with asyncio.timeout(TIMEOUT):
        async with serving(upstream.app) as url:
            app = create_app(httpx.AsyncClient(base_url=url, timeout=TIMEOUT), silence)
            async with serving(app) as relay, httpx.AsyncClient(base_url=relay, timeout=TIMEOUT) as client:
                yield client
        await until(lambda: asyncio.all_tasks() <= before)  # httpx leaves generators to the event loop


@asynccontextmanager
async def asking(client: httpx.AsyncClient, path: str, prompt: str) -> AsyncIterator[AsyncIterator[str]]:
    """The lines of the answer. Leaving disconnects."""
    async with client.stream("GET", path, params={"prompt": prompt}) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        async with aclosing(lines_of(response)) as lines:
            yield lines


async def lines_of(response: httpx.Response) -> AsyncGenerator[str, None]:
    async for line in response.aiter_lines():
        yield line


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.01)


def spoken(text: str) -> str:
    """What was said, whether or not a time was over in the middle of a sentence."""
    return " ".join(json.loads(data) for data in re.findall(r"^data: (\".*)$", text, re.MULTILINE))


either_owner = pytest.mark.parametrize("path", ["/dependency", "/response"])


@either_owner
async def test_tokens_arrive_as_sentences_and_the_end_is_an_event(path: str) -> None:
    """Rule 6, through a generator, six stages and two connections."""
    async with relaying(Upstream()) as client:
        answer = (await client.get(path, params={"prompt": "finish"})).text
        assert spoken(answer) == f"{WHOLE} on"
        assert answer.endswith(COMPLETE)


@either_owner
@pytest.mark.parametrize(("prompt", "reason"), [("refuse", "HTTPStatusError"), ("break", "RemoteProtocolError")])
async def test_an_upstream_that_fails_reaches_the_client_as_an_event(path: str, prompt: str, reason: str) -> None:
    """Rules 7 and 17: what was sent before arrives, then the error, as itself. A word that may be cut off is not sent."""
    async with relaying(Upstream()) as client:
        answer = (await client.get(path, params={"prompt": prompt})).text
        assert spoken(answer) == ("" if prompt == "refuse" else WHOLE)
        assert answer.endswith(f"event: failed\ndata: {reason}\n\n")


@either_owner
async def test_a_silent_upstream_is_flushed_and_the_client_kept_alive(path: str) -> None:
    """Rule 28: the beats cancel nothing, so what comes after them arrives."""
    upstream = Upstream()
    async with relaying(upstream, silence=0.5) as client, asking(client, path, "pause") as lines:
        said = ""
        async for line in lines:
            said += line + "\n"
            if said.count(STILL_THERE) == 3:
                upstream.resume.set()
            if line.startswith("event: "):
                break
    before, _, after = said.rpartition(STILL_THERE)
    assert spoken(before) == WHOLE
    assert spoken(after) == "on after it."


@either_owner
async def test_a_client_that_disconnects_stops_its_silent_upstream_and_no_other(path: str) -> None:
    """Rule 17: wherever the producers wait. No beat is needed to notice it."""
    upstream = Upstream()
    async with relaying(upstream) as client, asking(client, path, "silent") as stays:
        assert await anext(stays)
        async with asking(client, path, "silent") as leaves:
            assert await anext(leaves)
            assert upstream.open == 2
        await until(lambda: upstream.open == 1)
    assert upstream.open == 0


@either_owner
async def test_a_storm_of_disconnects_leaves_no_task(path: str) -> None:
    """Rule 17: no task outlives its block, whenever that is left."""
    upstream = Upstream()
    async with relaying(upstream) as client:
        before = asyncio.all_tasks()

        async def come_and_go(number: int) -> None:
            async with asking(client, path, "silent" if number % 2 else "endless") as lines:
                for _ in range(number % 5):
                    await anext(lines)

        async with asyncio.TaskGroup() as clients:
            for number in range(60):
                clients.create_task(come_and_go(number))
        await until(lambda: upstream.open == 0 and asyncio.all_tasks() <= before)


@either_owner
async def test_a_client_that_does_not_read_holds_its_upstream_up(path: str) -> None:
    """Rule 3, through all stages: no more is read than sockets and buffers hold."""
    upstream = Upstream()
    async with relaying(upstream) as client, asking(client, path, "endless"):
        seen = -1
        while upstream.tokens != seen:
            seen = upstream.tokens
            await asyncio.sleep(0.5)
        assert 0 < upstream.tokens < 10_000  # 100 MB, where the loop has moved several hundred in this time


@once
async def test_the_program_ends_by_ctrl_c_with_a_client() -> None:
    upstream = Upstream()
    async with asyncio.timeout(TIMEOUT), serving(upstream.app) as url, httpx.AsyncClient(timeout=TIMEOUT) as client:
        program = await create_subprocess_exec(sys.executable, "-X", "dev", "-W", "error", PROGRAM, url, "0", stderr=PIPE)
        try:
            assert program.stderr
            said = ""
            while not (found := re.search(r"running on (\S+)", said)):
                said = (await program.stderr.readline()).decode()
                assert said, "the program has ended"
            async with asking(client, f"{found[1]}/response", "silent") as lines:
                assert await anext(lines)
                program.send_signal(signal.SIGINT)
                with pytest.raises(httpx.RemoteProtocolError):
                    async for _ in lines:
                        pass
            _, err = await program.communicate()
        finally:
            with suppress(ProcessLookupError):
                program.kill()
        await until(lambda: upstream.open == 0)
    assert b"Finished server process" in err
    assert b"Warning" not in err
    assert program.returncode == 0
