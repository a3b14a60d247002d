"""Streams between processes over a real NATS server, one that is killed and stopped included."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError
from typing_extensions import override

from chanstream import Channel, Itemizer, Receiver, SenderFailed, stream
from chanstream.nats import RemoteFailed, RemoteGone, ask_for, serve
from tests.loops import LOOPS, turns
from tests.machines import SUBJECT, Broker, as_bytes, connect, count, lines_of, process
from tests.outcomes import collect

pytestmark = pytest.mark.slow

# For what takes a second or more, and is about the broker and not about the event loop.
once = pytest.mark.asyncio(loop_factories=[next(iter(LOOPS))])
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """For all the tests that leave the broker as it is."""
    broker = Broker(tmp_path_factory.mktemp("nats"), "max_payload: 5000")
    yield broker
    broker.kill()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path, "max_payload: 16777216")
    yield broker
    broker.kill()


@pytest.fixture
async def serving(lasting: Broker) -> AsyncIterator[Client]:
    async with await connect(lasting.url) as client:
        yield client


@pytest.fixture
async def asking(lasting: Broker) -> AsyncIterator[Client]:
    async with await connect(lasting.url) as client:
        yield client


@pytest.fixture
def subject() -> str:
    return f"test.{next(NUMBERS)}"


async def settled(*clients: Client) -> None:
    """What was published has arrived, at every client, and was worked on.

    Flushed twice: nats-py writes the first PING ahead of the commands that it still holds, a subscription for example.
    """
    for client in (*clients, *clients):
        await turns()
        await client.flush()
    await turns()


async def serve_numbers(client: Client, subject: str, up_to: int, start: int = 0) -> None:
    async with Channel[int]().fed_by(count, up_to, start) as numbers:
        await serve(numbers, client, subject, as_bytes)


async def collect_from(client: Client, subject: str, patience: float = 3.5) -> list[int]:
    async with Channel[int]().fed_by(ask_for, client, subject, int, patience=patience) as numbers:
        return await collect(numbers)


class Source:
    """A producer that sends what the test asks for, and how far it came."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.orders: asyncio.Queue[int | None] = asyncio.Queue()

    def send(self, *numbers: int | None) -> None:
        """None ends it."""
        for number in numbers:
            self.orders.put_nowait(number)

    async def __call__(self, itemize: Itemizer[int]) -> None:
        try:
            while (number := await self.orders.get()) is not None:
                await itemize(number)
                self.log.append(f"sent {number}")
        finally:
            self.log.append("stopped")

    async def serve(self, client: Client, subject: str, encode: Callable[[int], bytes] = as_bytes) -> None:
        async with Channel[int]().fed_by(self) as numbers:
            await serve(numbers, client, subject, encode)
        self.log.append("served")


async def test_a_stream_crosses_and_ends(serving: Client, asking: Client, subject: str) -> None:
    """Rules 1, 6 and 29: every item once and in order, then the end at both sides."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_numbers(serving, subject, 100))
        assert await collect_from(asking, subject) == list(range(100))


async def test_one_client_at_both_ends_and_a_producer_under_stream(serving: Client, subject: str) -> None:
    """Rules 18 and 29: `ask_for` is a producer like any other."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_numbers(serving, subject, 10))
        assert await collect(stream(ask_for, serving, subject, int)) == list(range(10))


def test_lock_step_between_two_processes(lasting: Broker) -> None:
    """Rules 2 and 29: each line waits for the one before it, as if the producer's ``await itemize`` were a ``yield``."""
    reading, writing = os.pipe()
    with process("tracing", lasting, 3, writing) as server, process("asking", lasting, 100, writing) as client:
        os.close(writing)
        assert (client.wait(), server.wait()) == (0, 0)
    with os.fdopen(reading) as lines:
        trace = lines.read().splitlines()
    assert sorted(trace[-2:]) == ["complete", "served"]  # which may overtake one another
    assert trace[:-2] == [
        f"{what} {number}" for number in range(3) for what in ("sends", "takes", "took", "sent")
    ]  # fmt: skip


async def test_a_buffer_asks_ahead(serving: Client, asking: Client, subject: str) -> None:
    """Rules 3 and 29: as many items as the buffer holds are fetched ahead, and one more waits for room; not more."""
    source = Source()
    source.send(*range(10), None)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(source.serve(serving, subject))
        async with Channel[int](buffer=3).fed_by(ask_for, asking, subject, int) as numbers:
            while numbers.statistics().pending < 4:
                await settled(asking, serving)
            await settled(asking, serving)
            assert source.log == ["sent 0", "sent 1", "sent 2"]
            assert numbers.statistics().pending == 4
            assert await collect(numbers) == list(range(10))


async def test_a_failure_crosses_after_what_was_sent_before(lasting: Broker, asking: Client) -> None:
    """Rules 7, 17 and 29: the reason is in the error of the process that asks, and the error itself in the one that serves."""
    taken: list[int] = []
    with process("failing", lasting, 5) as server:
        with pytest.raises(RemoteFailed, match="ValueError: no more numbers") as caught:
            await take(asking, SUBJECT, taken, patience=math.inf)  # the process has yet to start
        assert list(lines_of(server)) == ["raised no more numbers"]
    assert taken == list(range(5))
    assert not isinstance(caught.value, RemoteGone)


async def test_a_failure_that_the_loop_handles(serving: Client, asking: Client, subject: str) -> None:
    """Rules 7 and 29: the loop gets SenderFailed, after every item."""
    taken: list[int] = []

    async def fail(itemize: Itemizer[int]) -> None:
        await count(itemize, 3)
        message = "ä" * 10_000  # the text is cut short, in the middle of a character
        raise OSError(message)

    async def serve_it() -> None:
        with pytest.raises(OSError, match="äää"):
            async with Channel[int]().fed_by(fail) as numbers:
                await serve(numbers, serving, subject, as_bytes)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_it())
        async with Channel[int]().fed_by(ask_for, asking, subject, int) as numbers:
            with pytest.raises(SenderFailed) as caught:
                async for number in numbers:
                    taken.append(number)
    assert isinstance(caught.value.__cause__, RemoteFailed)
    assert taken == [0, 1, 2]


async def test_a_consumer_that_leaves_stops_a_silent_source(serving: Client, asking: Client, subject: str) -> None:
    """Rules 9, 10 and 29."""
    source = Source()
    source.send(0)
    async with asyncio.TaskGroup() as tasks:
        server = tasks.create_task(source.serve(serving, subject))
        async with Channel[int]().fed_by(ask_for, asking, subject, int) as numbers:
            assert await anext(numbers) == 0
            await settled(asking, serving)
        await settled(asking, serving)
        assert source.log[-2:] == ["stopped", "served"]
        await server


async def test_a_consumer_that_leaves_before_it_has_asked_is_none(serving: Client, asking: Client, subject: str) -> None:
    """Rule 29: so the stream waits for the first that asks."""
    async with asyncio.TaskGroup() as tasks:
        early = tasks.create_task(collect_from(asking, subject))
        await settled(asking)
        server = tasks.create_task(serve_numbers(serving, subject, 3))
        early.cancel()
        await settled(asking, serving)
        assert not server.done()
        assert await collect_from(asking, subject) == [0, 1, 2]


async def greeting(tasks: asyncio.TaskGroup, client: Client, subject: str) -> asyncio.Task[None]:
    """A process that begins to ask: it has sent its greeting, and the answer can't be there yet."""
    sent = client.stats["out_msgs"]
    early = tasks.create_task(take(client, subject, []))
    while client.stats["out_msgs"] == sent:
        await asyncio.sleep(0)
    return early


async def test_a_consumer_that_leaves_while_it_is_greeted_is_not_waited_for(serving: Client, asking: Client, subject: str) -> None:
    """Rules 6 and 29: neither does it end the stream, nor is its end delayed, as by a process that may have died."""
    source = Source()
    async with asyncio.TaskGroup() as tasks:
        server = tasks.create_task(source.serve(serving, subject))
        await settled(serving)
        for _ in range(2):
            (await greeting(tasks, asking, subject)).cancel()
            await settled(asking, serving)
        assert source.log == []
        source.send(0, None)
        assert await collect_from(asking, subject) == [0]
        await settled(asking, serving)
        assert server.done()


async def test_leaving_where_nothing_serves_waits_for_nothing(asking: Client, subject: str) -> None:
    """Rules 9 and 29: the broker says at once that no process can have been asked."""
    async with asyncio.TaskGroup() as tasks:
        early = await greeting(tasks, asking, subject)
        early.cancel()
        await settled(asking)
        assert early.done()


async def test_whatever_comes_twice_counts_once(lasting: Broker, serving: Client, asking: Client, subject: str) -> None:
    """Rules 1 and 29: asks, answers and the news that a process leaves, each delivered a second time."""
    taken: list[int] = []

    async def repeat(message: Msg) -> None:
        if not message.headers or "Copy" not in message.headers:
            await copying.publish(message.subject, message.data, message.reply, (message.headers or {}) | {"Copy": "1"})

    async with await connect(lasting.url) as copying, asyncio.TaskGroup() as tasks:
        await copying.subscribe(">", cb=repeat)
        await settled(copying)
        tasks.create_task(serve_numbers(serving, subject, 30))
        await settled(serving)
        async with Channel[int]().fed_by(ask_for, asking, subject, int) as numbers:
            taken.append(await anext(numbers))
            reader = tasks.create_task(take(serving, subject, taken))
            while len(taken) < 2:
                await settled(copying, asking, serving)
        while not reader.done():
            await settled(copying, asking, serving)
    assert taken == list(range(30))


async def test_an_answer_of_another_subscriber_is_none(lasting: Broker, serving: Client, asking: Client, subject: str) -> None:
    """Rules 1 and 29: a stream of JetStream that stores a subject acknowledges each request to it, as this one does."""

    async def acknowledge(message: Msg) -> None:
        await storing.publish(message.reply, b'{"stream": "all", "seq": 1}')

    async with await connect(lasting.url) as storing, asyncio.TaskGroup() as tasks:
        for subjects in (subject, f"{subject}.>"):
            await storing.subscribe(subjects, cb=acknowledge)
        await settled(storing)
        reader = tasks.create_task(collect_from(asking, subject))
        await settled(asking, storing)
        tasks.create_task(serve_numbers(serving, subject, 30))
        assert await reader == list(range(30))


class Bare:
    """A process that asks by hand, so that it may do what `ask_for` does only when it is late, or dead."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.answers: list[tuple[str, str, bytes]] = []
        """The number of the ask, and what kind the answer is of."""

    async def begin(self, subject: str) -> None:
        self.address = (await self.client.request(subject, f"{self.name} greeting".encode(), timeout=60)).data.decode()
        await self.client.subscribe(f"{self.name}.answer.*", cb=self.hear)

    async def hear(self, answer: Msg) -> None:
        kind = (answer.headers or {}).get("Chanstream", "item")
        self.answers.append((answer.subject.rpartition(".")[2], kind, answer.data))

    async def ask(self, number: int) -> None:
        await self.client.publish(self.address, f"{self.name} {number}".encode(), f"{self.name}.answer.{number}")

    async def say_that_it_is_there(self) -> None:
        """When it is asked the next time, and only then."""
        polls = await self.client.subscribe(f"{self.name}.alive")
        await (await polls.next_msg(timeout=60)).respond(self.address.encode())
        await polls.unsubscribe()

    async def leave(self, number: int) -> None:
        await self.client.request(self.address, f"{self.name} {number} leave".encode(), timeout=60)


async def begin(client: Client, subject: str) -> Bare:
    bare = Bare(client, client.new_inbox())
    await bare.begin(subject)
    return bare


class Stubborn(AsyncIterator[int]):
    """Goes on regardless when it is cancelled."""

    def __init__(self) -> None:
        self.number = -1

    @override
    async def __anext__(self) -> int:
        self.number += 1
        if self.number:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
        return self.number


async def test_a_source_that_swallows_the_cancellation(serving: Client, asking: Client, subject: str) -> None:
    """Rules 10 and 29: `serve` ends nevertheless when the last process has left."""
    async with asyncio.TaskGroup() as tasks:
        server = tasks.create_task(serve(Stubborn(), serving, subject, as_bytes))
        async with Channel[int]().fed_by(ask_for, asking, subject, int) as numbers:
            assert await anext(numbers) == 0
            reading = tasks.create_task(anext(numbers, -1))
            await settled(asking, serving)
        await server
    assert reading.result() == -1


async def take(
    client: Client,
    subject: str,
    taken: list[int],
    *,
    until: int = -1,
    resume: asyncio.Event | None = None,
    decode: Callable[[bytes], int] = int,
    patience: float = 3.5,
) -> None:
    """Take numbers; behind `until`, wait for `resume`."""
    async with Channel[int]().fed_by(ask_for, client, subject, decode, patience=patience) as numbers:
        async for number in numbers:
            taken.append(number)
            if number == until and resume is not None:
                await resume.wait()


async def test_several_processes_share_a_stream(lasting: Broker, serving: Client, subject: str) -> None:
    """Rules 4 and 29: each item goes to one of them, each gets its own in order, and each gets the end."""
    async with asyncio.TaskGroup() as tasks, await connect(lasting.url) as first, await connect(lasting.url) as second:
        tasks.create_task(serve_numbers(serving, subject, 300))
        await settled(serving)
        async with asyncio.TaskGroup() as workers:
            shares = [workers.create_task(collect_from(client, subject)) for client in (first, second, first)]
    shared = [share.result() for share in shares]
    assert all(shared)
    assert all(share == sorted(share) for share in shared)
    assert sorted(itertools.chain(*shared)) == list(range(300))


async def test_two_streams_of_one_subject_are_not_mixed(serving: Client, asking: Client, subject: str) -> None:
    """Rules 1 and 29: each process reads one of them, to its end."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_numbers(serving, subject, 20))
        tasks.create_task(serve_numbers(serving, subject, 120, 100))
        both = [await collect_from(asking, subject), await collect_from(asking, subject)]
    assert sorted(both) == [list(range(20)), list(range(100, 120))]


@pytest.mark.parametrize("waits", [True, False])
async def test_an_item_on_its_way_to_a_process_that_leaves_goes_to_another(
    serving: Client, asking: Client, subject: str, *, waits: bool
) -> None:
    """Rules 14 and 29: whether the other one waits for an item just then, or asks later."""
    source, left, stayed, resume = Source(), list[int](), list[int](), asyncio.Event()

    def encode(number: int) -> bytes:
        if number == 1:
            leaver.cancel()
        return as_bytes(number)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(source.serve(serving, subject, encode))
        tasks.create_task(take(asking, subject, stayed, until=0, resume=resume))
        source.send(0)
        while not stayed:
            await settled(asking, serving)
        leaver = tasks.create_task(take(asking, subject, left))
        await settled(asking, serving)
        if waits:
            resume.set()
            await settled(asking, serving)
        source.send(1)
        await settled(asking, serving)
        assert leaver.cancelled()
        resume.set()
        source.send(2, None)
    assert (left, stayed) == ([], [0, 1, 2])


@once
async def test_the_end_waits_for_a_busy_process_and_not_for_a_dead_one(lasting: Broker, serving: Client) -> None:
    """Rules 6, 13 and 29: each that is there gets the end, however long it takes to come back, or is suspended."""
    taken, dead, resume = list[int](), list[int](), asyncio.Event()
    async with asyncio.TaskGroup() as tasks, await connect(lasting.url) as busy, await connect(lasting.url) as dies:
        server = tasks.create_task(serve_numbers(serving, SUBJECT, 3))
        with process("stopping", lasting, 0) as stopped:
            lines = lines_of(stopped)
            assert await asyncio.to_thread(next, lines) == "takes 0"
            worker = tasks.create_task(take(busy, SUBJECT, taken, until=1, resume=resume))
            while not taken:
                await settled(busy, serving)
            killed = tasks.create_task(take(dies, SUBJECT, dead, until=2, resume=asyncio.Event()))
            while not dead:
                await settled(dies, serving)
            await dies.close()  # without a word, as when its process dies
            killed.cancel()
            assert await collect_from(serving, SUBJECT) == []
            await asyncio.sleep(6)
            assert not server.done()
            resume.set()
            await worker
            await asyncio.sleep(0.5)
            assert not server.done()
            stopped.send_signal(signal.SIGCONT)
            assert await asyncio.to_thread(list, lines) == ["complete"]
            await server
    assert (taken, dead) == ([1], [2])


@once
@pytest.mark.parametrize("pauses", [[2.5], [0.6] * 3])
async def test_a_broker_that_stops_for_seconds(broker: Broker, pauses: list[float]) -> None:
    """Rule 29: what is asked for again comes once. Nothing is lost, nothing comes twice."""
    taken: list[int] = []
    async with await connect(broker.url) as serving, await connect(broker.url) as asking, asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_numbers(serving, SUBJECT, 1000))
        reader = tasks.create_task(take(asking, SUBJECT, taken))
        for pause in pauses:
            before = len(taken)
            while len(taken) < before + 100:
                await asyncio.sleep(0.01)
            broker.pause()
            await asyncio.sleep(pause)
            broker.resume()
        await reader
    assert taken == list(range(1000))


@once
@pytest.mark.parametrize("kills", [1, 4])
async def test_a_broker_that_is_killed_and_started_again(broker: Broker, kills: int) -> None:
    """Rule 29: nothing is lost, nothing comes twice."""
    taken: list[int] = []
    async with await connect(broker.url) as serving, await connect(broker.url) as asking, asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_numbers(serving, SUBJECT, 1500))
        reader = tasks.create_task(take(asking, SUBJECT, taken))
        for _ in range(kills):
            before = len(taken)
            while len(taken) < before + 100:
                await asyncio.sleep(0.01)
            broker.kill()
            broker.start()
        await reader
    assert taken == list(range(1500))


@once
async def test_an_answer_that_is_lost_with_the_broker_is_repeated(broker: Broker) -> None:
    """Rule 29: an item, and the end."""
    source, taken, numbers = Source(), list[int](), iter(range(3))

    def encode(number: int) -> bytes:
        if number == next(numbers) == 1:
            broker.kill()  # the client takes the connection for whole, and sends the answer to nowhere
        return as_bytes(number)

    async with await connect(broker.url) as serving, await connect(broker.url) as asking, asyncio.TaskGroup() as tasks:
        tasks.create_task(source.serve(serving, SUBJECT, encode))
        reader = tasks.create_task(take(asking, SUBJECT, taken))
        source.send(0, 1)
        await broken(serving)
        broker.start()
        source.send(2, None)
        await reader
    assert taken == [0, 1, 2]


@once
async def test_an_item_that_comes_while_the_broker_is_away_waits_for_it(broker: Broker) -> None:
    """Rule 29: also when the client may hold nothing back until it has connected again."""
    source, taken = Source(), list[int]()
    async with (
        await connect(broker.url, pending_size=1) as serving,
        await connect(broker.url) as asking,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(source.serve(serving, SUBJECT))
        reader = tasks.create_task(take(asking, SUBJECT, taken))
        source.send(0)
        while not taken:
            await settled(asking, serving)
        await settled(asking, serving)
        broker.kill()
        await broken(serving)
        source.send(1000)
        await turns()
        broker.start()
        source.send(None)
        await reader
    assert taken == [0, 1000]


@once
async def test_a_serving_process_that_connects_again_two_seconds_late_is_not_dead(broker: Broker) -> None:
    """Rule 29: that is how long nats-py waits by default. Meanwhile the broker says that there is no such process."""
    async with await connect(broker.url) as asking:
        with process("counting", broker, 200) as server:
            lines = lines_of(server)
            assert await asyncio.to_thread(next, lines) == "serves"
            taken: list[int] = []
            async with Channel[int]().fed_by(ask_for, asking, SUBJECT, int) as numbers:
                async for number in numbers:
                    taken.append(number)
                    if number == 100:
                        broker.kill()
                        await asyncio.sleep(0.2)  # its first attempt is made at once
                        broker.start()
            assert list(lines) == ["served"]
    assert taken == list(range(200))


@once
async def test_a_serving_process_that_is_killed_and_started_again(lasting: Broker, asking: Client) -> None:
    """Rules 7, 13 and 29: an error within seconds and never a quiet end. The new process is another stream."""
    taken: list[int] = []
    with process("counting", lasting, 10**9) as server:
        assert await asyncio.to_thread(next, lines_of(server)) == "serves"
        killed = math.inf
        with pytest.raises(RemoteGone):
            async with Channel[int]().fed_by(ask_for, asking, SUBJECT, int) as numbers:
                async for number in numbers:
                    taken.append(number)
                    if number == 100:
                        server.kill()
                        killed = time.monotonic()
                        with process("counting", lasting, 10**9):
                            assert await anext(numbers, None) is None
        assert time.monotonic() - killed < 10  # twice the time, as the machine may be busy
    assert taken == list(range(101))


@once
async def test_an_asking_process_that_is_killed_at_work_takes_one_item_along(lasting: Broker, asking: Client) -> None:
    """Rules 13 and 29: the others go on behind it."""
    with process("counting", lasting, 100):
        with process("asking", lasting, 50) as killed:
            lines = lines_of(killed)
            while next(lines) != "takes 50":
                pass
            killed.kill()
        assert await collect_from(asking, SUBJECT) == list(range(51, 100))


@once
@pytest.mark.parametrize(("seconds", "rest"), [(0.0, [2]), (2.5, [1, 2])])
async def test_an_asking_process_that_is_killed_while_it_waits(
    lasting: Broker, serving: Client, seconds: float, rest: list[int]
) -> None:
    """Rules 13 and 29: it takes the item along that is sent to it, but none when its ask was not repeated for two seconds."""
    source, taken = Source(), list[int]()
    source.send(0)
    async with asyncio.TaskGroup() as tasks:
        server = tasks.create_task(source.serve(serving, SUBJECT))
        with process("asking", lasting, 100) as killed:
            lines = lines_of(killed)
            assert [await asyncio.to_thread(next, lines) for _ in range(2)] == ["takes 0", "took 0"]
            await asyncio.sleep(0.2)
            killed.kill()
        other = tasks.create_task(take(serving, SUBJECT, taken))
        await settled(serving)
        await asyncio.sleep(seconds)
        source.send(1, 2, None)
        await other
        assert taken == rest
        server.cancel()


async def impatient(numbers: Receiver[int]) -> AsyncIterator[int]:
    """The numbers, asked for with timeouts that are too short for most of them."""
    chance = random.Random(29)
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(chance.random() * 0.002):
                number = await anext(numbers, None)
            if number is None:
                return
            yield number


@once
async def test_a_storm_of_timeouts_at_both_ends(serving: Client, asking: Client, subject: str) -> None:
    """Rules 14 to 16 and 29: no item is lost, doubled or reordered."""

    async def slow(itemize: Itemizer[int]) -> None:
        for number in range(1000):
            if number % 3 == 0:
                await asyncio.sleep(0.001)
            await itemize(number)

    async def relay(itemize: Itemizer[int], numbers: Receiver[int]) -> None:
        async for number in impatient(numbers):
            await itemize(number)

    async def serve_it() -> None:
        async with Channel[int]().fed_by(slow) as numbers, Channel[int](buffer=2).fed_by(relay, numbers) as relayed:
            await serve(relayed, serving, subject, as_bytes)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_it())
        async with Channel[int](buffer=1).fed_by(ask_for, asking, subject, int) as numbers:
            assert [number async for number in impatient(numbers)] == list(range(1000))


@once
async def test_workers_that_come_and_go(lasting: Broker, serving: Client, subject: str) -> None:
    """Rules 14, 16 and 29: what a worker that leaves has not passed on is given to another, and nothing twice."""
    chance = random.Random(30)
    taken: list[int] = []

    async def keep(number: int, /) -> None:
        taken.append(number)

    async def work(client: Client) -> None:
        try:
            await ask_for(keep, client, subject, int, patience=0)
        except RemoteGone:  # it came when the stream had ended
            assert len(taken) == 2000

    async with asyncio.TaskGroup() as tasks, await connect(lasting.url) as first, await connect(lasting.url) as second:
        tasks.create_task(serve_numbers(serving, subject, 2000))
        await settled(serving)
        steady = tasks.create_task(work(first))
        while not steady.done():
            visitors = [tasks.create_task(work(client)) for client in (first, second)]
            await asyncio.sleep(chance.random() * 0.05)
            for visitor in visitors:
                visitor.cancel()
            await asyncio.wait(visitors)
    assert sorted(taken) == list(range(2000))


def as_zeros(size: int) -> bytes:
    return bytes(size)


async def test_an_item_may_be_as_large_as_the_broker_takes(serving: Client, asking: Client, subject: str) -> None:
    """Rule 29: to the byte, and as small as nothing. A larger one is an error at both ends."""
    source, sizes = Source(), list[int]()
    source.send(0, 5000, 5001)
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(source.serve(serving, subject, as_zeros))
            with pytest.raises(RemoteFailed, match=r"ValueError: .*5,001 .*5,000"):
                await take(asking, subject, sizes, decode=len)
    assert sizes == [0, 5000]
    assert caught.group_contains(ValueError, match=r"5,001 .*5,000")


@pytest.mark.parametrize("error", [KeyError("no code"), StopAsyncIteration("not the end")])
async def test_what_encode_raises_is_no_end(serving: Client, asking: Client, subject: str, error: Exception) -> None:
    """Rules 7 and 29: it is raised at both ends, after the items before."""
    source, taken = Source(), list[int]()
    source.send(0, 1, 2)

    def encode(number: int) -> bytes:
        if number == 1:
            raise error
        return as_bytes(number)

    async def serve_it() -> None:
        with pytest.raises(type(error)) as caught:
            await source.serve(serving, subject, encode)
        assert caught.value is error

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_it())
        with pytest.raises(RemoteFailed, match=f"{type(error).__name__}: .*{error.args[0]}"):
            await take(asking, subject, taken)
    assert taken == [0]


async def test_an_encode_that_returns_no_bytes(serving: Client, asking: Client, subject: str) -> None:
    """Rules 21 and 29."""
    source = Source()
    source.send(0)
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(source.serve(serving, subject, str))  # type: ignore[arg-type]
            with pytest.raises(RemoteFailed, match=r"TypeError: encode .* str"):
                await collect_from(asking, subject)
    assert caught.group_contains(TypeError, match=r"encode .* str")


@pytest.mark.parametrize("error", [KeyError, StopAsyncIteration])
async def test_what_decode_raises_leaves_the_stream(serving: Client, asking: Client, subject: str, error: type[Exception]) -> None:
    """Rules 9, 17 and 29: it is raised where it was raised, and the serving process is left alone."""

    def decode(data: bytes) -> int:
        if data == b"2":
            raise error
        return int(data)

    taken: list[int] = []
    source = Source()
    source.send(0, 1, 2, 3)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(source.serve(serving, subject))
        with pytest.raises(RuntimeError if error is StopAsyncIteration else error):
            await take(asking, subject, taken, decode=decode)
    assert taken == [0, 1]
    assert source.log[-1] == "served"


@once
async def test_a_process_that_is_not_there_yet(serving: Client, asking: Client, subject: str) -> None:
    """Rule 29: it is waited for, but not for ever."""
    with pytest.raises(RemoteGone):
        await collect_from(asking, subject, patience=0)
    async with asyncio.TaskGroup() as tasks:
        early = tasks.create_task(collect_from(asking, subject, patience=math.inf))
        await asyncio.sleep(1.2)
        tasks.create_task(serve_numbers(serving, subject, 3))
        assert await early == [0, 1, 2]
    before = asking.stats["out_msgs"]
    with pytest.raises(RemoteGone):
        await collect_from(asking, subject, patience=0.5)
    assert asking.stats["out_msgs"] - before < 10  # it doesn't ask all the time


async def test_to_cancel_serve_fails_the_stream(serving: Client, asking: Client, subject: str) -> None:
    """Rules 7 and 29: those that wait get it at once."""
    source, taken = Source(), list[int]()
    source.send(0)
    async with asyncio.TaskGroup() as tasks:
        server = tasks.create_task(source.serve(serving, subject))
        reader = tasks.create_task(failed_by(take(asking, subject, taken)))
        while not taken:
            await settled(asking, serving)
        await settled(asking, serving)
        server.cancel()
        failed = await reader
    assert server.cancelled()
    assert taken == [0]
    assert isinstance(failed, RemoteFailed)
    assert not isinstance(failed, RemoteGone)


async def failed_by(reading: Coroutine[object, object, None]) -> Exception | None:
    try:
        await reading
    except Exception as error:
        return error
    return None


@once
async def test_serve_can_be_cancelled_while_the_broker_takes_nothing(broker: Broker) -> None:
    """Rules 16 and 29: nats-py loses a cancellation then."""
    source, paused = Source(), asyncio.Event()
    source.send(16_777_216)

    def encode(size: int) -> bytes:
        broker.pause()
        paused.set()
        return bytes(size)

    async with await connect(broker.url) as serving, await connect(broker.url) as asking, asyncio.TaskGroup() as tasks:
        server = tasks.create_task(source.serve(serving, SUBJECT, encode))
        reader = tasks.create_task(failed_by(take(asking, SUBJECT, [], decode=len)))
        await paused.wait()
        await asyncio.sleep(0.5)
        began = time.monotonic()
        server.cancel()
        await asyncio.wait((server,))
        assert time.monotonic() - began < 8  # where nats-py by itself waits for 10
        broker.resume()
        assert isinstance(await reader, RemoteFailed)


@once
async def test_serve_can_be_cancelled_while_it_looks_for_a_process_and_the_broker_takes_nothing(broker: Broker) -> None:
    """Rules 16 and 29: nor may that be lost."""
    source = Source()
    async with await connect(broker.url) as serving, await connect(broker.url) as asking, asyncio.TaskGroup() as tasks:
        server = tasks.create_task(source.serve(serving, SUBJECT))
        await settled(serving)
        silent, leaves = await begin(asking, SUBJECT), await begin(serving, SUBJECT)
        for bare in (silent, leaves):
            await bare.ask(0)
        await leaves.leave(0)
        broker.pause()
        looks = serving.stats["out_msgs"] + 3
        full: list[asyncio.Task[None]] = []
        for _ in range(2):  # one in the connection, and one that waits for it
            full.append(tasks.create_task(serving.publish("nowhere", bytes(16_777_216))))
            await turns()
        while serving.stats["out_msgs"] < looks:
            await asyncio.sleep(0.05)
        server.cancel()
        await asyncio.wait((server,))
        assert server.cancelled()
        broker.resume()
        await asyncio.wait(full)


@once
async def test_a_client_that_is_closed(lasting: Broker, subject: str) -> None:
    """Rule 29: whichever it is, its side raises. Neither waits for ever."""
    source, taken = Source(), list[int]()
    source.send(0)
    async with await connect(lasting.url) as serving, await connect(lasting.url) as asking, asyncio.TaskGroup() as tasks:
        server = tasks.create_task(failed_by(source.serve(serving, subject)))
        reader = tasks.create_task(failed_by(take(asking, subject, taken)))
        while not taken:
            await settled(asking, serving)
        await asking.close()
        assert isinstance(await reader, ConnectionClosedError)
        assert not server.done()
        await serving.close()
        assert isinstance(await server, ConnectionClosedError)


@once
async def test_to_leave_while_the_broker_is_away(broker: Broker) -> None:
    """Rules 9, 16 and 29: it takes a second, and the news waits for the broker."""
    source, taken = Source(), list[int]()
    source.send(0)
    async with (
        await connect(broker.url) as serving,
        await connect(broker.url, wait=1.5) as asking,
        asyncio.TaskGroup() as tasks,
    ):
        server = tasks.create_task(source.serve(serving, SUBJECT))
        reader = tasks.create_task(take(asking, SUBJECT, taken))
        while not taken:
            await settled(asking, serving)
        broker.kill()
        await broken(asking)
        reader.cancel()
        await asyncio.wait((reader,), timeout=5)
        assert reader.cancelled()
        broker.start()
        await server


async def test_the_end_waits_for_a_process_that_was_only_greeted(serving: Client, asking: Client, subject: str) -> None:
    """Rules 6 and 29: its first ask is on its way."""
    async with asyncio.TaskGroup() as tasks:
        server = tasks.create_task(serve_numbers(serving, subject, 1))
        await settled(serving)
        late = await begin(asking, subject)
        assert await collect_from(serving, subject) == [0]
        await settled(asking, serving)
        assert not server.done()
        await late.ask(0)
        await settled(asking, serving)
        assert late.answers == [("0", "end", b"")]
        await late.leave(1)


async def test_an_ask_that_comes_after_the_next_one_is_none(serving: Client, asking: Client, subject: str) -> None:
    """Rules 1 and 29: no item is sent in answer to it, where it would be lost."""
    source = Source()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(source.serve(serving, subject))
        await settled(serving)
        bare = await begin(asking, subject)
        source.send(0)
        await bare.ask(0)
        await settled(asking, serving)
        await bare.ask(1)
        await bare.ask(0)
        await settled(asking, serving)
        source.send(1)
        await settled(asking, serving)
        assert bare.answers == [("0", "item", b"0"), ("1", "item", b"1")]
        await bare.leave(2)


def set_times(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Have `serve` go by other times than its own; not `ask_for`."""
    for module in [vars(module) for name, module in sys.modules.items() if name.startswith("chanstream.nats.")]:
        for name in seconds.keys() & module.keys() if module is not ask_for.__globals__ else ():
            monkeypatch.setitem(module, name, seconds[name])


@once
async def test_an_answer_is_repeated_seldom(serving: Client, asking: Client, subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 29: a large one that is slow would be slower. The time that it has taken so far passes before it is repeated again."""
    loop, source = asyncio.get_running_loop(), Source()
    set_times(monkeypatch, AGAIN=20)
    time_of_loop, later = loop.time, 0
    monkeypatch.setattr(loop, "time", lambda: time_of_loop() + later)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(source.serve(serving, subject))
        await settled(serving)
        bare = await begin(asking, subject)
        source.send(0)
        times: list[int] = []
        for later in (0, 10, 21, 22, 38, 43, 80, 90):
            for _ in range(2):
                await bare.ask(0)
                await settled(asking, serving)
                times += [later] * (len(bare.answers) - len(times))
        assert times == [0, 21, 43, 90]
        await bare.leave(1)


async def test_a_process_that_repeats_its_ask_keeps_its_place(serving: Client, asking: Client, subject: str) -> None:
    """Rules 4 and 29."""
    source = Source()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(source.serve(serving, subject))
        await settled(serving)
        first, second = await begin(asking, subject), await begin(asking, subject)
        for bare in (first, second, first):
            await bare.ask(0)
        await settled(asking, serving)
        source.send(0, None)
        await settled(asking, serving)
        assert first.answers == [("0", "item", b"0")]
        assert second.answers == [("0", "end", b"")]
        await first.leave(1)
        await second.leave(1)


async def test_an_item_that_is_given_back_comes_before_the_end(serving: Client, asking: Client, subject: str) -> None:
    """Rules 6 and 29: also after an end that was given back."""
    source = Source()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(source.serve(serving, subject))
        await settled(serving)
        first, second, third = [await begin(asking, subject) for _ in range(3)]
        source.send(0, None)
        for bare in (first, second):
            await bare.ask(0)
            await settled(asking, serving)
        assert second.answers == [("0", "end", b"")]
        await second.leave(0)
        await first.leave(0)
        for number in range(2):
            await third.ask(number)
            await settled(asking, serving)
        assert third.answers == [("0", "item", b"0"), ("1", "end", b"")]
        await third.leave(2)


@once
async def test_an_item_that_is_given_back_goes_to_no_process_that_is_silent(
    serving: Client, asking: Client, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules 13 and 29: it may have died."""
    loop, source = asyncio.get_running_loop(), Source()
    time_of_loop, later = loop.time, 0
    monkeypatch.setattr(loop, "time", lambda: time_of_loop() + later)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(source.serve(serving, subject))
        await settled(serving)
        leaves, silent, asks = [await begin(asking, subject) for _ in range(3)]
        source.send(0)
        for bare in (leaves, silent):
            await bare.ask(0)
        await settled(asking, serving)
        later = 3
        await leaves.leave(0)
        await asks.ask(0)
        await settled(asking, serving)
        assert (leaves.answers, silent.answers, asks.answers) == ([("0", "item", b"0")], [], [("0", "item", b"0")])
        await silent.leave(0)
        await asks.leave(1)


@once
async def test_an_error_of_the_source_is_not_replaced_by_that_of_the_client(lasting: Broker, asking: Client, subject: str) -> None:
    """Rules 17 and 29: the client is closed before all processes were notified."""

    async def fail(_: Itemizer[int]) -> None:
        raise KeyError

    async def serve_it() -> None:
        async with Channel[int]().fed_by(fail) as numbers:
            await serve(numbers, client, subject, as_bytes)

    async with await connect(lasting.url) as client, asyncio.TaskGroup() as tasks:
        server = tasks.create_task(failed_by(serve_it()))
        await settled(client)
        bare = await begin(asking, subject)
        await bare.ask(0)
        await settled(asking, client)
        assert bare.answers == [("0", "failed", b"KeyError: ")]
        await client.close()
        assert isinstance(await server, KeyError)


@once
@pytest.mark.parametrize("asks", [True, False])
async def test_a_process_that_is_away_twice_is_not_dead(
    lasting: Broker, serving: Client, asking: Client, subject: str, *, asks: bool
) -> None:
    """Rules 13 and 29: what counts is how long the broker has reported it away without a break."""
    source = Source()
    async with asyncio.TaskGroup() as tasks, await connect(lasting.url) as another:
        server = tasks.create_task(source.serve(serving, subject))
        await settled(serving)
        bare = await begin(asking, subject)
        reader = await greeting(tasks, another, subject)
        await settled(another, serving)
        reader.cancel()
        await asyncio.wait((reader,))
        for _ in range(2):
            await bare.ask(0)
            await settled(asking, serving)
            polls = serving.stats["out_msgs"]
            while serving.stats["out_msgs"] < polls + 5:
                assert not server.done()
                await asyncio.sleep(0.05)
            if not asks:
                await bare.say_that_it_is_there()
        # As nothing asks any more, and a process has left, it is waited for no longer.


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` notices in a fifth of a second that a process has died, and polls it three times for that."""
    set_times(monkeypatch, AGAIN=0.05, SILENT=0.1, PATIENCE=0.15)


async def answer_from_elsewhere(poll: Msg) -> None:
    await poll.respond(b"elsewhere")


@once
@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_the_end_does_not_wait_for_a_process_that_is_gone(
    serving: Client, asking: Client, subject: str, *, elsewhere: bool
) -> None:
    """Rules 13 and 29: also when it was the only one. It has died, or reads another stream of this subject."""
    source = Source()
    source.send(None)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(source.serve(serving, subject))
        await settled(serving)
        bare = await begin(asking, subject)
        if elsewhere:
            await asking.subscribe(f"{bare.name}.alive", cb=answer_from_elsewhere)
            await settled(asking)
        await bare.ask(0)


@once
@pytest.mark.usefixtures("hasty")
async def test_the_end_waits_for_a_process_that_is_late(serving: Client, asking: Client, subject: str) -> None:
    """Rules 6 and 29: it is suspended perhaps, for as long as the broker doesn't report that it is gone."""
    source = Source()
    source.send(None)
    async with asyncio.TaskGroup() as tasks:
        server = tasks.create_task(source.serve(serving, subject))
        await settled(serving)
        bare = await begin(asking, subject)
        polls = await asking.subscribe(f"{bare.name}.alive")
        await bare.ask(0)
        for _ in range(10):
            await polls.next_msg(timeout=60)
        assert not server.done()
        await bare.leave(1)


@once
async def test_a_process_that_repeats_its_ask_is_not_polled(serving: Client, asking: Client, subject: str) -> None:
    """Rule 29: it is known to be there."""
    source = Source()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(source.serve(serving, subject))
        await settled(serving)
        reader = tasks.create_task(take(asking, subject, []))
        await settled(asking, serving)
        other = await begin(asking, subject)
        await other.ask(0)
        await other.leave(0)
        before = asking.stats["in_msgs"]
        await asyncio.sleep(1.2)
        assert asking.stats["in_msgs"] == before
        source.send(None)
        await reader


async def test_an_answer_to_a_process_that_is_gone_is_no_error(lasting: Broker, asking: Client, subject: str) -> None:
    """Rule 29: the broker reports it to the one that serves, which has other ways to notice it."""
    source, errors = Source(), list[Exception]()

    async def note(error: Exception) -> None:
        errors.append(error)

    async with await nats.connect(lasting.url, error_cb=note) as serving, asyncio.TaskGroup() as tasks:
        tasks.create_task(source.serve(serving, subject))
        await settled(serving)
        bare = await begin(asking, subject)
        await asking.publish(bare.address, f"{bare.name} 0".encode(), f"{subject}.nowhere")
        source.send(0)
        await settled(asking, serving)
        assert source.log == []
        await bare.leave(1)
    assert errors == []


async def test_leaving_while_serve_reports_that_it_was_cancelled_is_no_error(lasting: Broker, asking: Client, subject: str) -> None:
    """Rules 9 and 29: nothing is left that could be stopped."""
    source, errors = Source(), list[Exception]()

    async def note(error: Exception) -> None:
        errors.append(error)

    async with await nats.connect(lasting.url, error_cb=note) as serving, asyncio.TaskGroup() as tasks:
        server = tasks.create_task(source.serve(serving, subject))
        await settled(serving)
        bare = await begin(asking, subject)
        await bare.ask(0)
        await settled(asking, serving)
        server.cancel()
        await settled(serving, asking)
        assert [kind for _, kind, _ in bare.answers] == ["failed"]
        await bare.leave(0)
    assert errors == []


class Scripted:
    """A process that serves by hand: what it does with the asks, one after the other. After that it has come to the end."""

    def __init__(self, client: Client, subject: str, *script: str) -> None:
        self.client = client
        self.subject = subject
        self.script = deque(script)

    async def serve(self) -> None:
        for subject in (self.subject, f"{self.subject}.address"):
            await self.client.subscribe(subject, cb=self.hear)
        await settled(self.client)

    async def hear(self, ask: Msg) -> None:
        action = self.script.popleft() if self.script else "answer"
        if action == "refuse":
            await self.client.publish(ask.reply, b"", headers={"Status": "503"})
        if action == "answer":
            is_greeting = ask.subject == self.subject
            header = {"Chanstream": "address" if is_greeting else "end"}
            await self.client.publish(ask.reply, f"{self.subject}.address".encode() if is_greeting else b"", headers=header)


@once
@pytest.mark.parametrize(
    ("patience", "script"),
    [(0.7, ["refuse", "ignore", "ignore", "refuse", "answer"]), (0, ["answer", "ignore", "answer"])],
)
async def test_no_process_is_gone_that_is_there(
    serving: Client, asking: Client, subject: str, patience: float, script: list[str]
) -> None:
    """Rule 29: the patience begins anew when the broker reports nothing."""
    await Scripted(serving, subject, *script).serve()
    assert await collect_from(asking, subject, patience) == []


@once
async def test_no_ask_is_repeated_while_the_broker_is_away(broker: Broker) -> None:
    """Rule 29: the client would keep each one, to send it later. Whether it tries to connect, or waits before it does."""
    async with await connect(broker.url) as asking, asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(take(asking, SUBJECT, [], patience=math.inf))
        await settled(asking)
        broker.kill()
        await broken(asking)
        with socket.create_server(("127.0.0.1", broker.port)):  # where a client that connects gets no answer
            while not is_connecting(asking):
                await asyncio.sleep(0.01)
            before = asking.stats["out_msgs"]
            while is_connecting(asking):
                await asyncio.sleep(0.01)
            assert asking.stats["out_msgs"] == before
        await asyncio.sleep(1.2)
        assert asking.stats["out_msgs"] == before
        broker.start()
        reader.cancel()


def is_connecting(client: Client) -> bool:
    return client.is_connecting


async def broken(client: Client) -> None:
    while client.is_connected:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("client", None, TypeError),
        ("subject", 1, TypeError),
        ("subject", "", ValueError),
        ("subject", "a..b", ValueError),
        ("subject", "a.*", ValueError),
        ("subject", "a b", ValueError),
        ("encode", "utf-8", TypeError),
        ("patience", "1", TypeError),
        ("patience", True, TypeError),
        ("patience", -1, ValueError),
        ("patience", math.nan, ValueError),
    ],
)
async def test_a_wrong_argument_is_named(serving: Client, name: str, value: object, error: type[Exception]) -> None:
    """Rules 21 and 29."""
    arguments = {"client": serving, "subject": "numbers", "encode": as_bytes, "patience": 1} | {name: value}
    patience = arguments.pop("patience")
    if name != "patience":
        with pytest.raises(error, match=name):
            await serve(Channel[int]().receiver, *arguments.values())  # type: ignore[arg-type]
    with pytest.raises(error, match=name.replace("encode", "decode")):
        await ask_for(nothing, *arguments.values(), patience=patience)  # type: ignore[arg-type]


async def nothing(_: int, /) -> None:
    raise AssertionError


def test_without_nats_py_the_extra_is_named() -> None:
    """Rule 29: and the core needs nothing of it."""
    program = "import sys; sys.modules['nats'] = None; import chanstream, chanstream.nats"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'chanstream[nats]'" in done.stderr


async def test_an_item_is_one_request_and_one_reply(serving: Client, asking: Client, subject: str) -> None:
    """Rule 29: and no other messages, but for what a slow machine repeats."""
    before = Counter(asking.stats)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_numbers(serving, subject, 300))
        await settled(serving)
        assert await collect_from(asking, subject) == list(range(300))
    messages = Counter(asking.stats) - before
    assert 300 < messages["out_msgs"] < 320
    assert 300 < messages["in_msgs"] < 320
