"""The same programs and the same rules on other libraries: the law is tested, and not one way to keep it.

Each adapter is as thin as it can be: it gives the sending side a block, the receiving side `__anext__` and `aclose`, and what the
library raises the names that the contract has for it. What a library doesn't have at all is left out.

Ready callbacks run in asyncio's own order here, first in, first out; only when something happens from outside is chosen. So what
is found can happen in any program.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from types import ModuleType, TracebackType
from typing import Final, Self

from chanstream import Itemizer, ReceiverClosed, SenderClosed, SenderContext
from tests.explorer.explore import InOrder, Run, chance, quiet_collector, random_run, shrink
from tests.explorer.invariants import LAWS
from tests.explorer.programs import Block, Dropping, Fed, Feed, Program, Streamed, large_programs, small_programs
from tests.explorer.stage import CHANSTREAM, Item, Library, ReceivingEnd

__all__ = ["compare", "judge", "peers"]


class Put:
    """An itemizer, made of a function that sends."""

    def __init__(self, send: Callable[[Item], Awaitable[object]], errors: Callable[[BaseException], BaseException | None]) -> None:
        self.send = send
        self.errors = errors
        self.over = False

    async def __call__(self, item: Item, /) -> None:
        try:
            await self.send(item)
        except Exception as error:
            named = self.errors(error)
            if named is None:
                raise
            raise (SenderClosed() if self.over else named) from None


class SendingEnd:
    """A sender block, made of a function that sends, one that says how an error is called, and one that ends."""

    def __init__(
        self,
        send: Callable[[Item], Awaitable[object]],
        end: Callable[[], Awaitable[object]],
        errors: Callable[[BaseException], BaseException | None],
        begin: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self.put = Put(send, errors)
        self.end = end
        self.begin = begin
        self.opened = False

    async def __aenter__(self) -> Itemizer[Item]:
        if self.opened:
            raise SenderClosed
        self.opened = True
        if self.begin is not None:
            await self.begin()
        return self.put

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> bool:
        self.put.over = True
        await self.end()
        return False


class TakingEnd:
    """A receiver, made of a function that takes, one that says how an error is called, and one that closes."""

    def __init__(
        self,
        take: Callable[[], Awaitable[object]],
        close: Callable[[], Awaitable[object]],
        errors: Callable[[BaseException], BaseException | None],
    ) -> None:
        self.take = take
        self.close = close
        self.errors = errors

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        try:
            item: object = await self.take()
        except Exception as error:
            named = self.errors(error)
            if named is None:
                raise
            raise named from None
        assert isinstance(item, tuple)
        return item

    async def aclose(self) -> None:
        await self.close()


def make_queue(buffer: int) -> tuple[SenderContext[Item], ReceivingEnd]:
    """`asyncio.Queue`, which can be shut down from Python 3.13 on."""
    queue: asyncio.Queue[Item] = asyncio.Queue(buffer)
    shut_down: type[Exception] = vars(asyncio)["QueueShutDown"]
    closed = [False]

    async def end() -> None:
        queue.shutdown()  # type: ignore[attr-defined, unused-ignore]

    async def close() -> None:
        closed[0] = True
        queue.shutdown(immediate=True)  # type: ignore[attr-defined, unused-ignore]

    def refused(error: BaseException) -> BaseException | None:
        return (ReceiverClosed() if closed[0] else SenderClosed()) if isinstance(error, shut_down) else None

    def ended(error: BaseException) -> BaseException | None:
        return StopAsyncIteration() if isinstance(error, shut_down) else None

    return SendingEnd(queue.put, end, refused), TakingEnd(queue.get, close, ended)


def make_anyio(anyio: ModuleType) -> Callable[[int], tuple[SenderContext[Item], ReceivingEnd]]:
    def make(buffer: int) -> tuple[SenderContext[Item], ReceivingEnd]:
        send, receive = anyio.create_memory_object_stream(buffer)

        def refused(error: BaseException) -> BaseException | None:
            if isinstance(error, anyio.BrokenResourceError):
                return ReceiverClosed()
            return SenderClosed() if isinstance(error, anyio.ClosedResourceError) else None

        def ended(error: BaseException) -> BaseException | None:
            return StopAsyncIteration() if isinstance(error, (anyio.EndOfStream, anyio.ClosedResourceError)) else None

        return SendingEnd(send.send, send.aclose, refused), TakingEnd(receive.receive, receive.aclose, ended)

    return make


def make_sav(channels: ModuleType) -> Callable[[int], tuple[SenderContext[Item], ReceivingEnd]]:
    def make(_: int) -> tuple[SenderContext[Item], ReceivingEnd]:
        receiving, sending = channels.create()

        def refused(error: BaseException) -> BaseException | None:
            return ReceiverClosed() if isinstance(error, StopAsyncIteration) else None

        return (
            SendingEnd(sending.asend, sending.aclose, refused, lambda: sending.asend(None)),
            TakingEnd(receiving.__anext__, receiving.aclose, lambda _: None),
        )

    return make


@dataclass(frozen=True)
class Peer:
    """A library, the buffers that it has, and the laws that are about something it doesn't have."""

    library: Library
    buffers: tuple[int, ...]
    lacks: tuple[str, ...] = ()


def peers() -> list[Peer]:
    """The peers that are installed, and this library first."""
    found = [Peer(CHANSTREAM, (0, 1, 2))]
    if hasattr(asyncio, "QueueShutDown"):
        found.append(Peer(Library("asyncio.Queue", make_queue), (1, 2), ("rule 2",)))
    for name, make, buffers, lacks in (
        ("anyio", make_anyio, (0, 1, 2), ()),
        ("sav.channels", make_sav, (0,), ("rule 3",)),
    ):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        found.append(Peer(Library(name, make(module)), buffers, lacks))
    return found


NOT_COMPARED: Final = ("cut short", "rule 11", "rule 17", "rule 18", "rule 23", "rule 24", "rule 25", "rule 26", "at once")
"""What no other library has, and what only this one says of itself."""


def programs_for(peer: Peer) -> list[Program]:
    programs = [
        program
        for program in small_programs() + large_programs()
        if program.dropping is Dropping.SILENT
        and not any(
            isinstance(actor, Fed | Feed | Streamed)
            or (isinstance(actor, Block) and any(writer.offers for writer in actor.writers))
            for actor in program.actors
        )
    ]
    fitting = [program for program in programs if set(program.buffers) <= set(peer.buffers)]
    # A program written for a buffer that the library hasn't got, with one that it has.
    fitting += [
        replace(program, name=f"{program.name}, buffer {buffer}", buffers=(buffer,) * len(program.buffers))
        for program in programs
        for buffer in peer.buffers[:1]
        if not set(program.buffers) <= set(peer.buffers)
    ]
    return fitting


@dataclass
class Judgement:
    """How often each law was broken, and the first run that broke it."""

    runs: int
    broken: Counter[str]
    first: dict[str, Run]


def judge(peer: Peer, schedules: int, seed: int) -> Judgement:
    """Run the programs that apply, so many schedules of each."""
    numbers = chance(seed)
    judgement = Judgement(0, Counter(), {})
    with quiet_collector() as ran, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for program in programs_for(peer):
            for _ in range(schedules):
                run = random_run(program, numbers.getrandbits(32), peer.library, InOrder)
                ran()
                judgement.runs += 1
                for rule in {violation.rule for violation in run.violations}:
                    judgement.broken[rule] += 1
                    known = judgement.first.get(rule)
                    if known is None or len(run.choices) < len(known.choices):
                        judgement.first[rule] = replace(run, violations=[each for each in run.violations if each.rule == rule])
    return judgement


def compare(schedules: int, seed: int) -> int:
    """Print which peer keeps which law, and the shortest program that breaks each. The status is that of this library."""
    sys.unraisablehook = lambda _: None  # what a broken run leaves to the collector
    present = peers()
    judgements = {peer.library.name: judge(peer, max(20, schedules // 500), seed) for peer in present}
    width = max(map(len, LAWS.values())) + 12
    print(f"{'broken in how many of the schedules':{width}}" + "".join(f"{name:>15}" for name in judgements))
    print(f"{'':{width}}" + "".join(f"{judgement.runs:>15,}" for judgement in judgements.values()))
    for rule, law in LAWS.items():
        if rule in NOT_COMPARED:
            continue
        cells = []
        for peer in present:
            judgement = judgements[peer.library.name]
            broken = judgement.broken[rule] / judgement.runs
            cells.append("-" if rule in peer.lacks else f"{broken:.1%}" if broken else "kept")
        print(f"{f'{rule}, {law}':{width}}" + "".join(f"{cell:>15}" for cell in cells), flush=True)
    for peer in present:
        for rule, run in sorted(judgements[peer.library.name].first.items()):
            if rule not in peer.lacks and (rule not in NOT_COMPARED or peer.library is CHANSTREAM):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    small = shrink(run, peer.library, in_order=True)
                print(f"\n{peer.library.name}, {small.report()}", flush=True)
    return bool(judgements[CHANSTREAM.name].broken)
