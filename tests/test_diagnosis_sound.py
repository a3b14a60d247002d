"""What is called a deadlock is one: programs that go on, looked at all the time. What ends their waits is nowhere to be seen."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import ctypes
import functools
import gc
import itertools
import operator
import os
import queue
import signal
import socket
import threading
import types
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from typing import Any

import anyio
import pytest
from typing_extensions import override

from chanstream import Channel, Itemizer, Receiver, SenderFailed, offer, stream
from chanstream.diagnosis import Graph, Verdict, graph
from tests.loops import LOOPS, turns

pytestmark = pytest.mark.cpython

SOON = 0.006
"""Seconds until what ends a wait comes. In the meantime it is looked for."""

PROGRAMS: dict[str, Callable[[], Coroutine[object, object, object]]] = {}


def goes_on(program: Callable[[], Coroutine[object, object, object]]) -> Callable[[], Coroutine[object, object, object]]:
    PROGRAMS[program.__name__] = program
    return program


def looks(program: Callable[[], Coroutine[object, object, object]], loop: str = "asyncio") -> list[Graph]:
    """Run `program`, and look at it every millisecond until it ends."""
    found: list[Graph] = []

    def look() -> None:
        found.append(graph())
        if len(found) < 2_000:
            running.call_later(0.001, look)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        running = runner.get_loop()
        running.call_soon(look)
        runner.run(program())
    assert found
    return found


async def read(receiver: AsyncIterator[object]) -> None:
    async for _ in receiver:
        pass


async def send(channel: Channel[int], count: int = 3) -> None:
    async with channel.sender as itemize:
        for number in range(count):
            await itemize(number)


def later(callback: Callable[..., object], *args: object) -> None:
    asyncio.get_running_loop().call_later(SOON, callback, *args)


# Timers and callbacks.


@goes_on
async def a_timer_that_offers() -> None:
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        later(offer, itemize, 1)
        await anext(channel.receiver)


@goes_on
async def a_timer_with_a_closure() -> None:
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        later(lambda: offer(itemize, 1))
        await anext(channel.receiver)


@goes_on
async def a_timer_with_a_partial() -> None:
    channel = Channel[int]()
    task = asyncio.create_task(send(channel))
    await turns()
    later(functools.partial(operator.methodcaller("take_ready", 3), channel.receiver))
    later(functools.partial(operator.methodcaller("take_ready", 3), channel.receiver))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5 * SOON):
            await task


@goes_on
async def a_timer_that_makes_a_task() -> None:
    channel = Channel[int]()
    keep = list[object]()
    later(lambda: keep.append(asyncio.create_task(send(channel))))
    await read(channel.receiver)


@goes_on
async def a_chain_of_timers() -> None:
    future = asyncio.get_running_loop().create_future()

    def again(count: int) -> None:
        if count:
            asyncio.get_running_loop().call_later(SOON / 4, again, count - 1)
        else:
            future.set_result(None)

    again(4)
    await future


@goes_on
async def an_event_that_a_timer_sets() -> None:
    event = asyncio.Event()
    channel = Channel[int]()

    async def wait_and_send() -> None:
        await event.wait()
        await send(channel)

    later(event.set)
    task = asyncio.create_task(wait_and_send())
    await read(channel.receiver)
    await task


@goes_on
async def a_done_callback_that_offers() -> None:
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        sleeper = asyncio.create_task(asyncio.sleep(SOON))
        sleeper.add_done_callback(lambda _: offer(itemize, 1))
        await anext(channel.receiver)


@goes_on
async def a_callback_that_is_due() -> None:
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        for _ in range(30):
            asyncio.get_running_loop().call_soon(offer, itemize, 1)
            await anext(channel.receiver)


# Timeouts.


@goes_on
async def a_timeout_around_an_ask() -> None:
    channel = Channel[int]()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SOON):
            await read(channel.receiver)


@goes_on
async def a_timeout_around_an_itemizer() -> None:
    channel = Channel[int]()
    async with channel.sender as itemize:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(itemize(1), SOON)


@goes_on
async def a_timeout_around_a_group() -> None:
    channel = Channel[int]()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SOON), asyncio.TaskGroup() as tasks:
            tasks.create_task(read(channel.receiver))


@goes_on
async def a_timeout_that_is_set_by_another_task() -> None:
    channel = Channel[int]()
    async with asyncio.TaskGroup() as tasks:
        scope = asyncio.timeout(None)

        async def reschedule() -> None:
            await asyncio.sleep(SOON)
            scope.reschedule(asyncio.get_running_loop().time())

        tasks.create_task(reschedule())
        with contextlib.suppress(TimeoutError):
            async with scope:
                await read(channel.receiver)


@goes_on
async def a_wait_with_a_timeout() -> None:
    channel = Channel[int]()
    task = asyncio.create_task(read(channel.receiver))
    await asyncio.wait([task], timeout=SOON)
    await send(channel)
    await task


@goes_on
async def a_timeout_of_anyio() -> None:
    channel = Channel[int]()
    with anyio.move_on_after(SOON):
        await read(channel.receiver)


@goes_on
async def a_timeout_of_anyio_around_a_group() -> None:
    channel = Channel[int]()
    with anyio.move_on_after(SOON):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, channel.receiver)
            tasks.start_soon(asyncio.Event().wait)


@goes_on
async def a_timer_that_cancels() -> None:
    channel = Channel[int]()
    task = asyncio.create_task(read(channel.receiver))
    later(task.cancel)
    await asyncio.wait([task])


@goes_on
async def a_timer_that_is_due_and_has_not_run() -> None:
    channel = Channel[int]()
    task = asyncio.create_task(read(channel.receiver))
    await turns(3)
    loop = asyncio.get_running_loop()
    found: list[Verdict] = []

    def be_late() -> None:
        end = loop.time() + 2 * SOON
        while loop.time() < end:
            pass
        loop.call_soon(lambda: found.append(graph().verdict))

    loop.call_later(SOON, task.cancel)
    loop.call_soon(be_late)
    await asyncio.wait([task])
    assert found
    assert Verdict.DEADLOCK not in found


class Watchdog:
    def __init__(self, tasks: dict[str, asyncio.Task[None]]) -> None:
        self.tasks = tasks

    def bark(self) -> None:
        for task in self.tasks.values():
            task.cancel()


@goes_on
async def a_timer_that_cancels_by_way_of_an_object() -> None:
    channel = Channel[int]()
    tasks = {"reader": asyncio.create_task(read(channel.receiver))}
    later(Watchdog(tasks).bark)
    await asyncio.wait(tasks.values())


# Threads, processes, sockets and signals.


@goes_on
async def a_thread_that_offers() -> None:
    channel = Channel[int](buffer=1)
    loop = asyncio.get_running_loop()

    def work(itemize: Itemizer[int]) -> None:
        threading.Event().wait(SOON)
        loop.call_soon_threadsafe(offer, itemize, 1)

    async with channel.sender as itemize:
        thread = threading.Thread(target=work, args=(itemize,))
        thread.start()
        await anext(channel.receiver)
    thread.join()


@goes_on
async def a_thread_that_runs_the_itemizer() -> None:
    channel = Channel[int]()
    loop = asyncio.get_running_loop()

    def work(itemize: Itemizer[int]) -> None:
        threading.Event().wait(SOON)
        asyncio.run_coroutine_threadsafe(itemize(1), loop).result()

    async def produce() -> None:
        async with channel.sender as itemize:
            await asyncio.to_thread(work, itemize)

    task = asyncio.create_task(produce())
    await read(channel.receiver)
    await task


@goes_on
async def a_thread_that_waits_for_a_queue() -> None:
    channel = Channel[int](buffer=1)
    inbox = queue.SimpleQueue[Callable[[], object]]()
    loop = asyncio.get_running_loop()
    thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(inbox.get()))
    thread.start()
    async with channel.sender as itemize:
        threading.Timer(SOON, inbox.put, (functools.partial(offer, itemize, 1),)).start()
        await anext(channel.receiver)
    thread.join()


@goes_on
async def a_pool_of_threads() -> None:
    channel = Channel[int](buffer=1)
    loop = asyncio.get_running_loop()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        async with channel.sender as itemize:
            wait = pool.submit(threading.Event().wait, SOON)
            wait.add_done_callback(lambda _: print(loop.call_soon_threadsafe(offer, itemize, 1)))
            await anext(channel.receiver)


@goes_on
async def another_event_loop() -> None:
    channel = Channel[int](buffer=1)
    loop = asyncio.get_running_loop()

    async def elsewhere(itemize: Itemizer[int]) -> None:
        await asyncio.sleep(SOON)
        loop.call_soon_threadsafe(offer, itemize, 1)

    async with channel.sender as itemize:
        thread = threading.Thread(target=lambda: asyncio.run(elsewhere(itemize)))
        thread.start()
        await anext(channel.receiver)
    thread.join()


@goes_on
async def a_socket_that_is_read() -> None:
    channel = Channel[bytes](buffer=1)
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        threading.Timer(SOON, theirs.send, (b"x",)).start()
        async with channel.sender as itemize:
            loop.add_reader(ours, lambda: offer(itemize, ours.recv(1)))
            await anext(channel.receiver)
            loop.remove_reader(ours)


@goes_on
async def a_socket_that_is_awaited() -> None:
    channel = Channel[bytes]()
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()

    async def produce(itemize: Itemizer[bytes]) -> None:
        await itemize(await loop.sock_recv(ours, 1))

    with ours, theirs:
        ours.settimeout(0)
        threading.Timer(SOON, theirs.send, (b"x",)).start()
        async with channel.fed_by(produce) as items:
            await read(items)


@goes_on
async def a_server_and_its_client() -> None:
    lines = Channel[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with lines.sender as itemize:
            async for line in reader:
                await itemize(line)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())

        async def talk() -> None:
            for _ in range(3):
                writer.write(b"x\n")
                await asyncio.sleep(SOON / 3)
            writer.close()

        task = asyncio.create_task(talk())
        await read(lines.receiver)
        await task


class Feeder(asyncio.Protocol):
    def __init__(self, itemize: Itemizer[bytes]) -> None:
        self.itemize = itemize

    @override
    def data_received(self, data: bytes) -> None:
        offer(self.itemize, data)


@goes_on
async def a_protocol_that_offers() -> None:
    channel = Channel[bytes](buffer=1)
    ours, theirs = socket.socketpair()
    async with channel.sender as itemize:
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: Feeder(itemize), sock=ours)
        threading.Timer(SOON, theirs.send, (b"x",)).start()
        await anext(channel.receiver)
        transport.close()
        await turns()
    theirs.close()


@goes_on
async def a_process_that_is_awaited() -> None:
    channel = Channel[int]()

    async def produce(itemize: Itemizer[int]) -> None:
        process = await asyncio.create_subprocess_exec("sleep", str(SOON))
        await itemize(await process.wait())

    async with channel.fed_by(produce) as items:
        await read(items)


@goes_on
async def a_process_that_is_read() -> None:
    async def produce(itemize: Itemizer[bytes]) -> None:
        process = await asyncio.create_subprocess_exec("sh", "-c", f"sleep {SOON}; echo x", stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        async for line in process.stdout:
            await itemize(line)
        await process.wait()

    async with Channel[bytes](buffer=1).fed_by(produce) as items:
        await read(items)


@goes_on
async def a_signal_handler_of_the_loop() -> None:
    channel = Channel[int](buffer=1)
    loop = asyncio.get_running_loop()
    async with channel.sender as itemize:
        loop.add_signal_handler(signal.SIGUSR2, offer, itemize, 1)
        threading.Timer(SOON, os.kill, (os.getpid(), signal.SIGUSR2)).start()
        await anext(channel.receiver)
        loop.remove_signal_handler(signal.SIGUSR2)


@goes_on
async def a_signal_handler_of_the_process() -> None:
    channel = Channel[int](buffer=1)
    loop = asyncio.get_running_loop()
    async with channel.sender as itemize:
        before = signal.signal(signal.SIGUSR2, lambda *_: loop.call_soon_threadsafe(offer, itemize, 1))
        threading.Timer(SOON, os.kill, (os.getpid(), signal.SIGUSR2)).start()
        await anext(channel.receiver)
        signal.signal(signal.SIGUSR2, before)


# Names, containers and other ways to refer to something.

known: dict[str, Any] = {}
variable: contextvars.ContextVar[Channel[int]] = contextvars.ContextVar("variable")
local = threading.local()


@goes_on
async def a_name_of_a_module() -> None:
    known["channel"] = Channel[int]()
    later(offer_by_name)
    await read(known["channel"].receiver)
    known.clear()


def offer_by_name() -> None:
    known["task"] = asyncio.ensure_future(send(known["channel"]))


@goes_on
async def a_name_of_a_class() -> None:
    class Registry:
        channel = Channel[int]()

    def start() -> None:
        tasks.append(asyncio.ensure_future(send(Registry.channel)))

    tasks = list[object]()
    later(start)
    await read(Registry.channel.receiver)


@goes_on
async def an_attribute_of_a_function() -> None:
    def start() -> None:
        known["task"] = asyncio.ensure_future(send(start.channel))  # type: ignore[attr-defined]

    start.channel = Channel[int]()  # type: ignore[attr-defined]
    later(start)
    await read(start.channel.receiver)  # type: ignore[attr-defined]
    known.clear()


def held_by(keep: Callable[[Channel[int]], object], get: Callable[[Any], Channel[int]]) -> None:
    """Something holds a channel whose sender a timer opens, which knows the holder by name."""

    async def program() -> None:
        channel = Channel[int]()
        known["holder"] = keep(channel)

        def start() -> None:
            known["task"] = asyncio.ensure_future(send(get(known["holder"])))

        asyncio.get_running_loop().call_later(SOON, start)
        await read(channel.receiver)
        known.clear()

    program.__name__ = f"holder_{len(PROGRAMS)}"
    goes_on(program)


def generator(channel: Channel[int]) -> Generator[Channel[int], None, None]:
    while True:
        yield channel


def raised(channel: Channel[int]) -> Exception:
    try:
        next(iter([channel][1:]))
    except StopIteration as error:
        return error  # its traceback refers to this frame
    raise AssertionError


def of_traceback(error: Exception) -> Channel[int]:
    assert error.__traceback__ is not None
    found = error.__traceback__.tb_frame.f_locals["channel"]
    assert isinstance(found, Channel)
    return found


def resolved(channel: Channel[int]) -> object:
    future = concurrent.futures.Future[Channel[int]]()
    future.set_result(channel)
    return future


def put(channel: Channel[int]) -> object:
    simple = queue.SimpleQueue[Channel[int]]()
    simple.put(channel)
    return simple


def in_context(channel: Channel[int]) -> contextvars.Context:
    context = contextvars.copy_context()
    context.run(variable.set, channel)
    return context


held_by(lambda channel: [[[channel]]], lambda holder: holder[0][0][0])
held_by(lambda channel: {1: (channel,)}, lambda holder: holder[1][0])
held_by(lambda channel: types.SimpleNamespace(x=channel), lambda holder: holder.x)
held_by(itertools.repeat, next)
held_by(lambda channel: map(operator.itemgetter(0), [[channel]]), next)
held_by(generator, next)
held_by(raised, of_traceback)
held_by(weakref.ref, operator.methodcaller("__call__"))
held_by(lambda channel: weakref.WeakValueDictionary({1: channel}), lambda holder: holder[1])
held_by(ctypes.py_object, operator.attrgetter("value"))
held_by(resolved, lambda holder: holder.result())
held_by(put, lambda holder: holder.get())
held_by(in_context, lambda holder: holder[variable])
held_by(lambda channel: functools.lru_cache(lambda: channel), operator.call)
held_by(lambda channel: channel.__repr__, lambda holder: holder.__self__)


@goes_on
async def a_context_variable() -> None:
    channel = Channel[int]()
    variable.set(channel)

    async def start() -> None:
        await asyncio.sleep(SOON)
        await send(variable.get())

    task = asyncio.create_task(start())
    await read(channel.receiver)
    await task


@goes_on
async def a_local_of_a_thread() -> None:
    local.channel = Channel[int]()
    tasks = list[object]()
    later(lambda: tasks.append(asyncio.ensure_future(send(local.channel))))
    await read(local.channel.receiver)
    del local.channel


class Setter:
    """Sets an event when it goes."""

    def __init__(self, event: asyncio.Event) -> None:
        self.event = event

    def __del__(self) -> None:
        self.event.set()


@goes_on
async def a_finalizer() -> None:
    event = asyncio.Event()

    async def hold(_: Setter) -> None:
        await asyncio.sleep(SOON)

    task = asyncio.create_task(hold(Setter(event)))
    await event.wait()
    await task


# Tasks.


@goes_on
async def a_task_that_sleeps() -> None:
    channel = Channel[int]()

    async def produce() -> None:
        async with channel.sender as itemize:
            for number in range(4):
                await asyncio.sleep(SOON / 4)
                await itemize(number)

    task = asyncio.create_task(produce())
    await read(channel.receiver)
    await task


@goes_on
async def a_task_that_runs_all_the_time() -> None:
    channel = Channel[int]()

    async def produce() -> None:
        async with channel.sender as itemize:
            await turns(200)
            await itemize(1)

    task = asyncio.create_task(produce())
    await read(channel.receiver)
    await task


@goes_on
async def a_pipeline_at_work() -> None:
    async def numbers(itemize: Itemizer[int]) -> None:
        for number in range(20):
            await asyncio.sleep(0.001)
            await itemize(number)

    async def double(itemize: Itemizer[int], source: Receiver[int]) -> None:
        async for number in source:
            await itemize(2 * number)

    async with (
        Channel[int](buffer=3).fed_by(numbers) as a,
        Channel[int]().fed_by(double, a) as b,
        Channel[int]().fed_by(double, b) as c,
    ):
        await read(c)


@goes_on
async def a_gather_in_which_one_fails() -> None:
    channel = Channel[int]()

    async def fail() -> None:
        await asyncio.sleep(SOON)
        raise LookupError

    reader = asyncio.ensure_future(read(channel.receiver))
    with contextlib.suppress(LookupError):
        await asyncio.gather(fail(), reader)
    await send(channel)
    await reader


@goes_on
async def the_first_of_several() -> None:
    channel = Channel[int]()
    reader = asyncio.ensure_future(read(channel.receiver))
    sleeper = asyncio.ensure_future(asyncio.sleep(SOON))
    await asyncio.wait([reader, sleeper], return_when=asyncio.FIRST_COMPLETED)
    await send(channel)
    await reader


@goes_on
async def a_shielded_task() -> None:
    channel = Channel[int]()

    async def produce() -> None:
        await asyncio.shield(asyncio.sleep(SOON))
        await send(channel)

    task = asyncio.create_task(produce())
    await asyncio.shield(read(channel.receiver))
    await task


@goes_on
async def what_is_completed_first() -> None:
    channel = Channel[int]()
    tasks = [asyncio.ensure_future(read(channel.receiver)), asyncio.ensure_future(asyncio.sleep(SOON))]
    for each in asyncio.as_completed(tasks):
        await each
        if not tasks[0].done():
            await send(channel)


@goes_on
async def what_asyncio_has() -> None:
    lock, semaphore, condition, numbers = asyncio.Lock(), asyncio.Semaphore(0), asyncio.Condition(), asyncio.Queue[int](1)

    async def hold() -> None:
        async with lock:
            await asyncio.sleep(SOON / 2)
        semaphore.release()
        await asyncio.sleep(SOON / 4)
        async with condition:
            condition.notify()
        await numbers.put(1)
        await numbers.put(2)

    async def wait() -> None:
        async with lock, semaphore, condition:
            await condition.wait()
        await numbers.get()
        await numbers.get()

    await asyncio.gather(hold(), wait())


@goes_on
async def a_task_that_ends_and_drops_the_receiver() -> None:
    channel = Channel[int]()
    sender = channel.sender

    async def hold(_: Receiver[int]) -> None:
        await asyncio.sleep(SOON)

    task = asyncio.create_task(hold(channel.receiver))
    del channel
    async with sender as itemize:
        await itemize(1)
    await task


async def hold_a_sender(channel: Channel[int]) -> None:
    async with channel.sender:
        del channel
        await asyncio.get_running_loop().create_future()


@goes_on
async def a_lost_task_that_is_collected() -> None:
    channel = Channel[int]()
    receiver = channel.receiver
    weakref.ref(asyncio.create_task(hold_a_sender(channel)))
    del channel
    await turns(3)
    asyncio.get_running_loop().call_later(SOON, gc.collect)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # a task was destroyed
    with contextlib.suppress(Exception):
        await read(receiver)


@goes_on
async def a_task_that_only_garbage_refers_to() -> None:
    channel = Channel[int]()
    receiver = channel.receiver
    garbage: list[object] = [asyncio.create_task(hold_a_sender(channel))]
    garbage.append(garbage)
    del garbage, channel
    await turns(3)
    asyncio.get_running_loop().call_later(SOON, gc.collect)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # a task was destroyed
    with contextlib.suppress(Exception):
        await read(receiver)


@goes_on
async def a_generator_that_another_task_closes() -> None:
    channel = Channel[int]()

    async def generate() -> AsyncGenerator[int, None]:
        async with channel.sender as itemize:
            yield 1
            await itemize(1)

    items = generate()
    await anext(items)

    async def close() -> None:
        await asyncio.sleep(SOON)
        await items.aclose()

    task = asyncio.create_task(close())
    with pytest.raises(SenderFailed):  # by GeneratorExit
        await read(channel.receiver)
    await task


@goes_on
async def a_stream() -> None:
    channel = Channel[int]()

    async def produce(itemize: Itemizer[int]) -> None:
        async for number in channel.receiver:
            await itemize(number)

    async def feed() -> None:
        async with channel.sender as itemize:
            for number in range(3):
                await asyncio.sleep(SOON / 3)
                await itemize(number)

    task = asyncio.create_task(feed())
    await read(stream(produce))
    await task


@goes_on
async def a_feed_in_a_group() -> None:
    channel = Channel[int]()

    async def produce(itemize: Itemizer[int]) -> None:
        for number in range(3):
            await asyncio.sleep(SOON / 3)
            await itemize(number)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(channel.feed(produce))
        await read(channel.receiver)


@goes_on
async def a_task_that_holds_only_the_channel() -> None:
    channel = Channel[int]()

    async def start() -> None:
        await asyncio.sleep(SOON)
        await send(channel)

    reader = asyncio.create_task(read(channel.receiver))
    await start()
    await reader


@goes_on
async def a_group_that_gets_a_new_task() -> None:
    channel = Channel[int]()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read(channel.receiver))

        async def start() -> None:
            await asyncio.sleep(SOON)
            tasks.create_task(send(channel))

        tasks.create_task(start())


QUICK = ["a_timer_that_offers", "a_timeout_around_an_ask", "a_thread_that_offers", "a_protocol_that_offers", "a_name_of_a_module"]
"""One of each kind, for the default run."""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", [pytest.param(each, marks=() if each in QUICK else pytest.mark.slow) for each in PROGRAMS])
def test_what_goes_on_is_not_called_a_deadlock(name: str, loop: str) -> None:
    """Rule 30: what it calls a deadlock is one."""
    found = looks(PROGRAMS[name], loop)
    assert [str(each) for each in found if each.verdict is Verdict.DEADLOCK] == []


async def read_from(channel: Channel[int]) -> None:
    await read(channel.receiver)


async def rest() -> None:
    await asyncio.sleep(3 * SOON)


async def be_busy() -> None:
    asyncio.get_running_loop().call_later(3 * SOON, be_busy_until.append, object())
    while not be_busy_until:
        await turns()
    await turns()
    be_busy_until.clear()


be_busy_until: list[object] = []


@pytest.mark.parametrize("main", [rest, be_busy])
def test_what_called_the_event_loop_may_call_it_again(main: Callable[[], Coroutine[object, object, None]]) -> None:
    """Rule 30: what it calls a deadlock is one; a function that runs an event loop goes on when that has come to its end."""
    found: list[Graph] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        channel = Channel[int]()
        reader = loop.create_task(read_from(channel))
        loop.call_later(SOON, lambda: found.append(graph()))
        runner.run(main())
        runner.run(send(channel))
        runner.run(main())
        assert reader.done()
    assert [each.verdict for each in found] == [Verdict.SUSPECTED]


def test_what_called_the_event_loop_goes_on_only_after_it() -> None:
    """Rule 30: so what only that refers to is no help for tasks that have the event loop run."""
    found: list[Graph] = []

    def look() -> None:
        found.append(graph())
        for task in asyncio.all_tasks():
            task.cancel()

    async def ask(channel: Channel[int]) -> None:
        asyncio.get_running_loop().call_later(SOON, look)
        await read_from(channel)

    channel = Channel[int]()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ask(channel))
    assert [each.verdict for each in found] == [Verdict.DEADLOCK], str(found[0])
    assert channel.statistics().asking == 0
