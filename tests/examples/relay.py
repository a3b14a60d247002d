"""A token relay: what a language model writes, token by token, reaches a browser as server-sent events, sentence by sentence.

Run it with the address of an upstream that answers ``GET /?prompt=...`` with one JSON string a line, and ask it::

    python tests/examples/relay.py http://127.0.0.1:9000 8000
    curl --no-buffer 'http://127.0.0.1:8000/dependency?prompt=Hello'
    curl --no-buffer 'http://127.0.0.1:8000/response?prompt=Hello'

Each request has a pipeline of its own, in a block that is owned either by a dependency with ``yield`` or by the response. A client
that disconnects stops its upstream at once, also one that is silent. An upstream that fails reaches the client as an event.
"""

import json
import sys
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated

import httpx
import uvicorn
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from chanstream import Channel, Itemizer, Receiver, stream
from chanstream.stages import batched, kept_alive

STILL_THERE = ": still there\n\n"  # a comment, which a browser ignores and a proxy takes for a sign of life
COMPLETE = "event: complete\ndata:\n\n"


async def tokens(itemize: Itemizer[str], upstream: httpx.AsyncClient, prompt: str) -> None:
    async with upstream.stream("GET", "/", params={"prompt": prompt}) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            await itemize(str(json.loads(line)))


async def words(itemize: Itemizer[str], tokens: AsyncIterable[str]) -> None:
    word = ""
    async for token in tokens:
        *whole, word = (word + token).split(" ")
        for each in filter(None, whole):
            await itemize(each)
    if word:
        await itemize(word)


async def sentences(itemize: Itemizer[str], batches: AsyncIterable[list[str]]) -> None:
    """Pass on whole sentences, and what there is of one when the time of its batch is over."""
    async for batch in batches:
        sentence: list[str] = []
        for word in batch:
            sentence.append(word)
            if word.endswith((".", "!", "?")):
                await itemize(" ".join(sentence))
                sentence.clear()
        if sentence:
            await itemize(" ".join(sentence))


async def events(itemize: Itemizer[str], upstream: httpx.AsyncClient, prompt: str) -> None:
    try:
        async with (
            Channel[str](buffer=64).fed_by(tokens, upstream, prompt) as pieces,
            Channel[str]().fed_by(words, pieces) as whole,
            Channel[list[str]]().fed_by(batched(whole, size=50, seconds=0.2)) as batches,
            Channel[str]().fed_by(sentences, batches) as texts,
        ):
            async for text in texts:
                await itemize(f"data: {json.dumps(text)}\n\n")
    except httpx.HTTPError as error:  # of the first stage, unchanged by the others; mistakes of this program are other errors
        await itemize(f"event: failed\ndata: {type(error).__name__}\n\n")
    else:
        await itemize(COMPLETE)


def relayed(upstream: httpx.AsyncClient, prompt: str, silence: float) -> AbstractAsyncContextManager[Receiver[str]]:
    return Channel[str]().fed_by(kept_alive(stream(events, upstream, prompt), seconds=silence, beat=lambda: STILL_THERE))


class RelayedResponse(StreamingResponse):
    """Owns the block, and leaves it however the response ends."""

    def __init__(self, block: AbstractAsyncContextManager[AsyncIterable[str]]) -> None:
        super().__init__((), media_type="text/event-stream")
        self.block = block

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.block as self.body_iterator:
            await super().__call__(scope, receive, send)


def create_app(upstream: httpx.AsyncClient, silence: float = 15) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with upstream:
            yield

    app = FastAPI(lifespan=lifespan)

    async def relayed_to_client(prompt: str) -> AsyncIterator[Receiver[str]]:
        async with relayed(upstream, prompt, silence) as receiver:
            yield receiver  # FastAPI leaves the block after the response

    @app.get("/dependency")
    async def by_dependency(receiver: Annotated[Receiver[str], Depends(relayed_to_client)]) -> StreamingResponse:
        return StreamingResponse(receiver, media_type="text/event-stream")

    @app.get("/response")
    async def by_response(prompt: str) -> StreamingResponse:
        return RelayedResponse(relayed(upstream, prompt, silence))

    return app


def main() -> None:
    _, url, port = sys.argv
    upstream = httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(10, read=300))
    uvicorn.run(create_app(upstream), port=int(port), timeout_graceful_shutdown=1)  # it would wait for a silent upstream


if __name__ == "__main__":
    main()
