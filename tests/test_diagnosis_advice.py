"""Whether the advice is true: hangs as they are met, each with what would free it; and how the report names tasks and threads."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterable

import pytest

from chanstream import Channel, Itemizer, in_thread, stream
from chanstream.diagnosis import Graph, Verdict, graph
from chanstream.protocols import BlockingItemizer
from chanstream.stages import batched, mapped
from tests.loops import turns
from tests.test_diagnosis import Program, look_at, read, unopened

pytestmark = pytest.mark.cpython


async def send(itemize: Itemizer[int], count: int = 9) -> None:
    for number in range(count):
        await itemize(number)


async def double(itemize: Itemizer[int], source: AsyncIterable[int]) -> None:
    async for number in source:
        await itemize(2 * number)


# All is sent before anything is read.


async def send_all_first() -> None:
    jobs = Channel[int](buffer=2)
    async with Channel[int](buffer=2).fed_by(double, jobs.receiver) as results:
        async with jobs.sender as itemize:
            await send(itemize)
        await read(results)


async def send_all_through_several() -> None:
    jobs = Channel[int]()
    async with (
        Channel[int](buffer=2).fed_by(double, jobs.receiver) as doubled,
        Channel[int]().fed_by(double, doubled) as again,
        Channel[int]().fed_by(double, again) as results,
    ):
        async with jobs.sender as itemize:
            await send(itemize, 20)
        await read(results)


async def send_all_to_a_pool() -> None:
    jobs, results = Channel[int](), Channel[int]()
    async with asyncio.TaskGroup() as tasks:
        async with results.sender as to_results, jobs.sender as to_jobs:
            for _ in range(3):
                tasks.create_task(double(to_results, jobs.receiver))
            await send(to_jobs)
        await read(results.receiver)


async def send_all_to_a_stage() -> None:
    jobs = Channel[int](buffer=1)

    async def fetch(number: int) -> int:
        await turns(1)
        return number

    async with Channel[int]().fed_by(mapped(jobs.receiver, fetch, limit=3)) as results:
        async with jobs.sender as itemize:
            await send(itemize)
        await read(results)


async def dead_letters() -> None:
    jobs, dead = Channel[int](buffer=1), Channel[int](buffer=1)

    async def work() -> None:
        async with dead.sender as bury:
            await double(bury, jobs.receiver)

    async def ask_for_work() -> None:
        async with jobs.sender as itemize:
            await send(itemize)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(work())
        await tasks.create_task(ask_for_work())
        await read(dead.receiver)


async def wait_for_the_source_of_a_stage() -> None:
    numbers = Channel[int]()

    async def fill() -> None:
        async with numbers.sender as itemize:
            await send(itemize)

    async with Channel[list[int]]().fed_by(batched(numbers.receiver, size=3)) as batches:
        await asyncio.create_task(fill())
        async for _ in batches:
            pass


async def a_ring() -> None:
    one, two = Channel[int](buffer=1), Channel[int](buffer=1)

    async def turn(source: Channel[int], target: Channel[int], count: int) -> None:
        async with target.sender as itemize:
            await send(itemize, count)
            async for number in source.receiver:
                await itemize(number)
                await itemize(number)

    await asyncio.gather(turn(one, two, 1), turn(two, one, 1))


async def a_worker_that_retries() -> None:
    jobs = Channel[int](buffer=1)

    async def work(itemize: Itemizer[int]) -> None:
        async for job in jobs.receiver:
            await itemize(job)
            await itemize(job)

    async with jobs.sender as itemize, asyncio.TaskGroup() as tasks:
        tasks.create_task(work(itemize))
        await itemize(1)


async def read_in_the_sender_block() -> None:
    numbers = Channel[int](buffer=3)
    async with numbers.sender as itemize:
        await itemize(1)
        await read(numbers.receiver)


async def read_after_the_sender_block() -> None:
    numbers = Channel[int](buffer=3)
    async with numbers.sender as itemize:
        await send(itemize)
    await read(numbers.receiver)


# Something else than a channel is in it.


class Store:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.rows = Channel[int]()

    async def save(self) -> None:
        async with self.rows.sender as itemize, self.lock:
            await send(itemize)

    async def write(self) -> None:
        async for _ in self.rows.receiver:
            async with self.lock:
                pass


async def a_lock_held_across_a_send() -> None:
    store = Store()
    await asyncio.gather(store.save(), store.write())


async def a_lock_held_across_an_ask() -> None:
    lock, numbers = asyncio.Lock(), Channel[int]()

    async def take(itemize: Itemizer[int]) -> None:
        async with lock:
            await itemize(await anext(numbers.receiver))

    async def give() -> None:
        await turns(1)
        async with numbers.sender as itemize, lock:
            await itemize(1)

    task = asyncio.create_task(give())
    async for _ in stream(take):
        pass
    await task


async def a_semaphore_held_across_a_send() -> None:
    limit, pages = asyncio.Semaphore(2), Channel[int]()

    async def fetch(itemize: Itemizer[int], number: int) -> None:
        async with limit:
            await itemize(number)

    async def crawl() -> None:
        async with pages.sender as itemize, asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(fetch(itemize, number))

    async def store() -> None:
        async for _ in pages.receiver:
            async with limit:
                pass

    await asyncio.gather(crawl(), store())


async def an_event_that_is_set_too_late() -> None:
    ready, settings = asyncio.Event(), Channel[int]()

    async def set_up() -> None:
        async with settings.sender as itemize:
            await itemize(1)
            ready.set()

    async def serve() -> None:
        await ready.wait()
        await read(settings.receiver)

    await asyncio.gather(set_up(), serve())


async def an_event_of_the_consumer() -> None:
    done = asyncio.Event()

    async def produce(itemize: Itemizer[int]) -> None:
        await itemize(1)
        await done.wait()

    async with Channel[int]().fed_by(produce) as items:
        await read(items)
        done.set()


async def a_condition() -> None:
    changed, numbers = asyncio.Condition(), Channel[int]()

    async def change() -> None:
        async with numbers.sender as itemize, changed:
            await itemize(1)
            changed.notify_all()

    async def watch() -> None:
        async with changed:
            await changed.wait()
        await read(numbers.receiver)

    await asyncio.gather(watch(), change())


async def a_queue_that_is_filled_too_late() -> None:
    inbox, numbers = asyncio.Queue[int](), Channel[int]()

    async def fill() -> None:
        async with numbers.sender as itemize:
            await itemize(1)
            await inbox.put(1)

    async def empty() -> None:
        await inbox.get()
        await anext(numbers.receiver)

    await asyncio.gather(fill(), empty())


async def a_queue_that_is_emptied_too_late() -> None:
    inbox, numbers = asyncio.Queue[int](1), Channel[int]()

    async def fill() -> None:
        async with numbers.sender as itemize:
            await inbox.put(1)
            await inbox.put(2)
            await itemize(1)

    async def empty() -> None:
        await anext(numbers.receiver)
        await inbox.get()

    await asyncio.gather(fill(), empty())


async def a_queue_that_is_joined() -> None:
    inbox, numbers = asyncio.Queue[int](), Channel[int]()

    async def work() -> None:
        async with numbers.sender as itemize:
            await itemize(await inbox.get())
            inbox.task_done()

    task = asyncio.create_task(work())
    inbox.put_nowait(1)
    await inbox.join()
    await read(numbers.receiver)
    await task


async def a_barrier() -> None:
    both, numbers = asyncio.Barrier(2), Channel[int]()

    async def one() -> None:
        async with numbers.sender as itemize:
            await itemize(1)
            await both.wait()

    async def other() -> None:
        await both.wait()
        await read(numbers.receiver)

    await asyncio.gather(one(), other())


async def an_answer_in_a_future() -> None:
    requests = Channel["asyncio.Future[int]"]()

    async def ask() -> None:
        async with requests.sender as itemize:
            answer = asyncio.get_running_loop().create_future()
            await itemize(answer)
            await answer

    async def serve() -> None:
        for request in [request async for request in requests.receiver]:
            request.set_result(1)

    await asyncio.gather(ask(), serve())


async def a_lock_and_an_event() -> None:
    lock, ready = asyncio.Lock(), asyncio.Event()

    async def use() -> None:
        async with lock:
            await ready.wait()

    async def prepare() -> None:
        await turns(1)
        async with lock:
            ready.set()

    await asyncio.gather(use(), prepare())


async def ends_of_one_another() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def wait_for(number: int) -> None:
        await turns(1)
        await asyncio.wait([tasks[number]])

    tasks += [asyncio.create_task(wait_for(1)), asyncio.create_task(wait_for(0))]
    await asyncio.wait(tasks)


HANGS: dict[Program, str] = {
    send_all_first: "Read `results` while sending to `jobs`, for example in a task of its own: send_all_first() [*] does one after "
    "the other.",
    send_all_through_several: "Read `results` while sending to `jobs`, for example in a task of its own: "
    "send_all_through_several() [*] does one after the other.",
    send_all_to_a_pool: "Read `results` while sending to `jobs`, for example in a task of its own: send_all_to_a_pool() [*] does "
    "one after the other.",
    send_all_to_a_stage: "Read `results` while sending to `jobs`, for example in a task of its own: send_all_to_a_stage() [*] does "
    "one after the other.",
    dead_letters: "Read `dead` before waiting for the end of ask_for_work() [*], or close its receiver.",
    wait_for_the_source_of_a_stage: "Read `batches` before waiting for the end of fill() [*], or close its receiver.",
    a_ring: "Give `two` a larger buffer, or read it in a task that does not wait: turn() [*] is sending to `one` meanwhile.",
    a_worker_that_retries: "All that take from `jobs` wait to send to it: give it a larger buffer, or send elsewhere.",
    read_in_the_sender_block: "End the sender block of `numbers` before reading it to the end: no other task will send an item.",
    read_after_the_sender_block: "Read `numbers` in another task, or close its receiver: no other task will take an item.",
    a_lock_held_across_a_send: "Don't hold `self.lock` while sending to `self.rows`: Store.write() [*] needs it.",
    a_lock_held_across_an_ask: "Don't hold `lock` while waiting for an item of `numbers`: give() [*] needs it.",
    a_semaphore_held_across_a_send: "Don't hold `limit` while sending to `pages`: store() [*] needs it.",
    an_event_that_is_set_too_late: "Set `ready` before sending to `settings`: serve() [*] waits for that.",
    an_event_of_the_consumer: "Set `done` before waiting for an item of `items`: produce() waits for that.",
    a_condition: "Notify `changed` before sending to `numbers`: watch() [*] waits for that.",
    a_queue_that_is_filled_too_late: "Put something into `inbox` before sending to `numbers`: empty() [*] waits for that.",
    a_queue_that_is_emptied_too_late: "Take from `inbox` before waiting for an item of `numbers`: fill() [*] waits for that.",
    a_queue_that_is_joined: "Call `task_done` of `inbox` before sending to `numbers`: a_queue_that_is_joined() [*] waits for that.",
    a_barrier: "Wait at `both` before sending to `numbers`: other() [*] waits for that.",
    an_answer_in_a_future: "Complete the future before waiting for an item of `requests`: ask() [*] waits for that.",
    a_lock_and_an_event: "Set `ready` before waiting for `lock`: use() [*] waits for that.",
    ends_of_one_another: "Have one of them not wait for the next.",
}


def masked(text: str, program: Program) -> str:
    """`text` without the numbers that asyncio gives to tasks, and without the name of the test around a function."""
    return re.sub(r"Task-\d+", "*", text).replace(f"{program.__name__}.", "")


@pytest.mark.parametrize("program", HANGS, ids=lambda program: program.__name__)
def test_the_advice_names_what_would_free_the_tasks(program: Program) -> None:
    """Rule 30: what it calls a deadlock is one; the advice names the channel or the lock by which it can be helped."""
    found = look_at(program)
    assert found.verdict is Verdict.DEADLOCK, str(found)
    assert masked(found.advice, program) == HANGS[program], str(found)


def test_a_lock_is_held_by_none_of_those_that_wait_for_it() -> None:
    """Rule 30: the tasks of a cycle wait for one another."""

    async def several() -> None:
        store = Store()
        await asyncio.gather(store.save(), store.write(), *(use(store.lock) for _ in range(3)))

    async def use(lock: asyncio.Lock) -> None:
        async with lock:
            pass

    assert [each.name.partition(" ")[0] for each in look_at(several).cycle] == ["Store.save()", "Store.write()"]


def test_the_task_that_has_the_lock_is_part_of_the_cycle() -> None:
    """Rule 30: the tasks of a cycle wait for one another, and not for others that wait for the same lock."""

    async def crawls() -> None:
        limit, pages = asyncio.Semaphore(1), Channel[int]()
        async with pages.sender as itemize:
            reader = asyncio.create_task(read(pages.receiver))
            await crawl(limit, itemize)
            await reader

    async def crawl(limit: asyncio.Semaphore, itemize: Itemizer[int], depth: int = 0) -> None:
        async with limit:
            await itemize(depth)
            await asyncio.gather(*(crawl(limit, itemize, depth + 1) for _ in range(3)))

    found = look_at(crawls)
    assert "crawls()" in [masked(each.name, crawls).partition(" ")[0].rpartition(".")[2] for each in found.cycle], str(found)
    assert "Don't hold `limit` while waiting for the end of" in found.advice


# Names and places.


class Page:
    def __init__(self) -> None:
        self.links = Channel[int](buffer=1)

    async def run(self) -> None:
        async with self.links.sender as itemize:
            await self.parse(itemize)

    async def parse(self, itemize: Itemizer[int]) -> None:
        await self.emit(itemize)

    async def emit(self, itemize: Itemizer[int]) -> None:
        await send(itemize)


def test_a_task_is_shown_by_its_name_and_where_its_innermost_call_is() -> None:
    """Rule 30: the report names tasks as the program does, and the place in it."""

    async def program() -> None:
        await asyncio.create_task(Page().run(), name="page of example.org")

    found = look_at(program)
    (page,) = [each for each in found.tasks if "page of example.org" in each.name]
    assert page.name == "Page.run() [page of example.org]"
    assert re.fullmatch(r".*test_diagnosis_advice\.py:\d+ in send\(\)", page.place)


def report_of(program: Program) -> str:
    return masked(str(look_at(program)), program)


def test_gathered_tasks_are_named() -> None:
    """Rule 30: which task waits for which."""

    async def gathers() -> None:
        await asyncio.gather(Page().run(), unopened())

    assert "waits for the end of Page.run() [*], unopened() [*]" in report_of(gathers)


def test_the_first_of_several_tasks_is_waited_for() -> None:
    """Rule 30: which task waits for which."""

    async def program() -> None:
        await asyncio.wait([asyncio.create_task(Page().run())], return_when=asyncio.FIRST_COMPLETED)

    assert "waits for the end of one of Page.run() [*]" in report_of(program)


def test_a_channel_is_called_by_the_name_that_no_other_one_has() -> None:
    """Rule 30: a channel is called what the program calls it."""
    text = report_of(send_all_through_several)
    assert [name in text for name in ("`doubled`: ", "`again`: ", "`results`: ", "`source`")] == [True, True, True, False]


def test_tasks_that_have_ended_are_not_waited_for() -> None:
    """Rule 30: which task waits for which."""

    async def ends_in_part() -> None:
        await asyncio.wait([asyncio.create_task(turns(1), name="quick"), asyncio.create_task(Page().run())])

    assert "waits for the end of Page.run() [*]\n" in report_of(ends_in_part)


async def look_once(started: threading.Event) -> Graph:
    await asyncio.to_thread(started.wait, 60)
    await asyncio.sleep(0.01)  # by then the thread has gone on from `set` to `wait`, which no event can say
    return graph()


async def test_a_quiet_thread_is_named_with_its_place() -> None:
    """Rule 30: which thread a task waits for, where that is, and what ends the wait."""
    started, over = threading.Event(), threading.Event()

    def quiet(_: BlockingItemizer[int]) -> None:
        block()

    def block() -> None:
        started.set()
        over.wait(60)

    async with Channel[int]().fed_by(in_thread(quiet)) as items:
        reader = asyncio.create_task(read(items))
        text = str(await look_once(started))
        assert re.search(
            r"in_thread\(.*quiet\) at .*test_diagnosis_advice\.py:\d+ in .*\.block\(\)\n    waits for the thread", text
        )
        assert "quiet), for an item or the return of its function" in text
        over.set()
        await reader


async def test_only_the_function_of_a_thread_ends_a_thread_that_is_cancelled() -> None:
    """Rule 30: which thread a task waits for, and what ends the wait."""
    started, over = threading.Event(), threading.Event()

    def quiet(_: BlockingItemizer[int]) -> None:
        started.set()
        over.wait(60)

    async def leave() -> None:
        async with Channel[int]().fed_by(in_thread(quiet)):
            await asyncio.to_thread(started.wait, 60)

    task = asyncio.create_task(leave())
    text = str(await look_once(started))
    over.set()
    await task
    assert re.search(
        r"is cancelled, and waits for the thread in_thread\(.*quiet\): nothing but the return of its function ends", text
    )


async def test_a_call_in_a_thread_of_a_pool_is_named() -> None:
    """Rule 30: what a task waits for."""
    started, over = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        over.wait(60)

    task = asyncio.create_task(asyncio.to_thread(block))
    text = str(await look_once(started))
    over.set()
    await task
    assert "waits for a thread of asyncio.to_thread" in text
