"""What `graph` says of programs that hang, and that looking changes nothing."""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import ClassVar

import pytest
from typing_extensions import override

from chanstream import Channel, Itemizer, Receiver
from chanstream.diagnosis import Graph, Verdict, graph
from tests.garbage import COUNTED
from tests.loops import LOOPS, turns

Program = Callable[[], Coroutine[object, object, object]]

AT_REST = 50
"""Turns of the event loop after which every program here only waits."""


def look_at(program: Program, loop: str = "asyncio") -> Graph:
    """Run `program` until it only waits, look at it, and cancel it."""
    found: list[Graph] = []

    def look(wait: int) -> None:
        if wait:
            running.call_soon(look, wait - 1)
            return
        try:
            found.append(graph())
        finally:
            for task in asyncio.all_tasks():
                task.cancel()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        running = runner.get_loop()
        running.call_soon(look, AT_REST)
        with suppress(asyncio.CancelledError):
            runner.run(program())
    return found[0]


# Six hangs.


async def pool() -> None:
    urls = Channel[int](buffer=2)

    async def crawl(itemize: Itemizer[int]) -> None:
        async for url in urls.receiver:
            for link in range(3):
                await itemize(10 * url + link)

    async with urls.sender as itemize, asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(crawl(itemize))
        await itemize(1)


async def unopened() -> None:
    news = Channel[str]()
    async for _ in news.receiver:
        pass


async def read(items: Receiver[int]) -> None:
    async for _ in items:
        pass


async def block() -> None:
    numbers = Channel[int]()
    async with numbers.sender as itemize:
        reader = asyncio.create_task(read(numbers.receiver))
        await itemize(1)
        await reader


async def diamond() -> None:
    left, right = Channel[int](buffer=2), Channel[int](buffer=2)

    async def fork() -> None:
        async with left.sender as to_left, right.sender as to_right:
            for number in range(10):
                await to_left(number)
            for number in range(10):
                await to_right(number)

    async def join() -> None:
        async for _ in right.receiver:
            await anext(left.receiver)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fork())
        tasks.create_task(join())


async def request_and_reply() -> None:
    requests, replies = Channel[str](), Channel[str]()

    async def client() -> None:
        async with requests.sender as ask:
            async for reply in replies.receiver:
                await ask(reply)

    async def server() -> None:
        async with replies.sender as answer:
            async for request in requests.receiver:
                await answer(request)

    await asyncio.gather(client(), server())


async def split_and_read() -> None:
    even, odd = Channel[int](), Channel[int]()

    async def split() -> None:
        async with even.sender as to_even, odd.sender as to_odd:
            for number in range(4):
                await (to_odd if number % 2 else to_even)(number)

    async def read_one_after_the_other() -> None:
        await read(even.receiver)
        await read(odd.receiver)

    await asyncio.wait([asyncio.create_task(split()), asyncio.create_task(read_one_after_the_other())])


HANGS: dict[Program, tuple[set[str], str]] = {
    pool: ({"pool.crawl()"}, "All that take from `urls` wait to send to it: give it a larger buffer, or send elsewhere."),
    unopened: ({"unopened()"}, "Open the sender of `news` with `async with`, or let go of it: no task is about to."),
    block: ({"block()", "read()"}, "End the sender block of `numbers` before waiting for the end of its reader."),
    diamond: (
        {"diamond.fork()", "diamond.join()"},
        "Give `left` a larger buffer, or read it and `right` at the same time: its reader waits for `right` first.",
    ),
    request_and_reply: (
        {"request_and_reply.client()", "request_and_reply.server()"},
        "Let one of them send before it asks: each waits for an item of another, as for `replies`.",
    ),
    split_and_read: (
        {"split_and_read.split()", "split_and_read.read_one_after_the_other()"},
        "Give `odd` a larger buffer, or read it and `even` at the same time: its reader waits for `even` first.",
    ),
}


@pytest.mark.cpython
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("program", HANGS, ids=lambda program: program.__name__)
def test_a_hang_is_explained(program: Program, loop: str) -> None:
    """Rule 30: what it calls a deadlock is a set of tasks that nothing outside of the set can reach any more."""
    names, advice = HANGS[program]
    found = look_at(program, loop)
    assert found.verdict is Verdict.DEADLOCK, str(found)
    assert {each.name.partition(" ")[0] for each in found.cycle} == names
    assert found.advice.replace("`requests`", "`replies`") == advice  # where both have no name, either may be the first
    assert all(each.is_stuck for each in found.tasks)
    assert not found.unseen


# What else is seen.


async def merely_held() -> None:
    numbers = Channel[int]()
    reader = asyncio.create_task(read(numbers.receiver))
    await asyncio.sleep(3600)
    await reader


known: dict[str, Channel[int]] = {}


async def held_by_a_dict_of_a_module() -> None:
    known["numbers"] = Channel[int]()
    await read(known["numbers"].receiver)


news = Channel[int]()


async def held_by_a_module() -> None:
    await read(news.receiver)


@pytest.fixture
def forgets() -> Iterator[None]:
    yield
    known.clear()


@pytest.mark.cpython
@pytest.mark.usefixtures("forgets")
@pytest.mark.parametrize(
    ("program", "unseen"),
    [
        (merely_held, "merely_held() [NAME], which holds the channel"),
        (held_by_a_dict_of_a_module, "whatever else refers to `items`: a callback, a thread or C code"),
        (held_by_a_module, "module tests.test_diagnosis, by its `news`"),
    ],
    ids=["by a task", "by a dict", "by a module"],
)
def test_a_deadlock_that_something_could_end_is_suspected(program: Program, unseen: str) -> None:
    """Rule 30: what it can't see turns the verdict to suspected; the report names what could still end the wait."""
    found = look_at(program)
    assert found.verdict is Verdict.SUSPECTED, str(found)
    assert found.cycle
    assert [re.sub(r"Task-\d+", "NAME", each) for each in found.unseen] == [unseen]
    assert f"could still end it: {found.unseen[0]}" in str(found)


@pytest.mark.cpython
async def test_what_the_caller_holds_could_still_be_used_by_it() -> None:
    """Rule 30: a task that holds a channel and looks is not part of a deadlock, so there is none yet."""
    numbers = Channel[int]()
    reader = asyncio.create_task(read(numbers.receiver))
    await turns()
    found = graph()
    assert found.verdict is Verdict.SUSPECTED
    # There may be more, such as the timers that are left in the loop of a process that has run other tests.
    assert "test_what_the_caller_holds_could_still_be_used_by_it(), which looks, by its `numbers`" in found.unseen
    await numbers.receiver.aclose()
    await reader


@pytest.mark.cpython
@pytest.mark.parametrize(
    "wait", [asyncio.Event().wait, lambda: asyncio.get_running_loop().create_future()], ids=["event", "future"]
)
def test_a_task_that_waits_until_it_is_cancelled_is_no_deadlock(wait: Callable[[], Awaitable[object]]) -> None:
    """Rule 30: what it calls a deadlock is one; a server waits for a future that nothing knows, and is meant to."""

    async def serve() -> None:
        await wait()

    found = look_at(serve)
    assert (found.verdict, found.cycle, found.advice) == (Verdict.RUNNING, (), "")


@pytest.mark.cpython
def test_locks_that_wait_for_one_another_are_a_deadlock_without_any_channel() -> None:
    """Rule 30: a set of tasks that nothing outside of the set can reach any more."""

    async def both() -> None:
        one, two = asyncio.Lock(), asyncio.Lock()

        async def take(first: asyncio.Lock, second: asyncio.Lock) -> None:
            async with first:
                await turns()
                async with second:
                    pass

        await asyncio.gather(take(one, two), take(two, one))

    found = look_at(both)
    assert found.verdict is Verdict.DEADLOCK, str(found)
    assert "waits for the asyncio.Lock `two`" in str(found)
    assert found.advice == "Take `two` and `one` in the same order in all tasks."


@pytest.mark.cpython
def test_a_heartbeat_beside_them_does_not_hide_tasks_that_are_stuck() -> None:
    """Rule 30: what it calls a deadlock is a set of tasks; the rest of the program may go on."""

    async def program() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.sleep(3600))
            tasks.create_task(diamond())

    found = look_at(program)
    assert found.verdict is Verdict.DEADLOCK, str(found)
    assert [each.is_stuck for each in found.tasks].count(False) == 1


@pytest.mark.cpython
def test_a_wait_for_a_task_under_a_timeout_is_one_wait() -> None:
    """Rule 30: which task waits for which; on Python 3.11 too, where `wait_for` waits for a future of its own."""

    async def program() -> None:
        await asyncio.wait_for(asyncio.create_task(unopened(), name="reader"), 3600)

    found = look_at(program)
    assert found.verdict is Verdict.SUSPECTED, str(found)
    assert "waits for the end of unopened() [reader]" in str(found)


# That looking changes nothing.


@pytest.mark.cpython
@pytest.mark.usefixtures("no_collector")
async def test_a_look_keeps_nothing_alive_and_leaves_nothing_behind() -> None:
    """Rule 30: it changes nothing, not on Python 3.11 either, where to ask a frame for its variables keeps them."""

    class Thing:
        pass

    watched: list[weakref.ref[object]] = []
    go_on = asyncio.Event()

    async def hold() -> None:
        thing = Thing()
        numbers = Channel[int]()
        watched.extend([weakref.ref(thing), weakref.ref(numbers)])
        await go_on.wait()
        del thing, numbers
        await asyncio.sleep(3600)

    task = asyncio.create_task(hold())
    await turns()
    found = graph()
    assert all(each() is not None for each in watched)
    go_on.set()
    await turns()
    assert [each() for each in watched] == [None, None]
    assert found.tasks[0].waits == "waits for the asyncio.Event `go_on`"
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.cpython
async def test_a_look_leaves_the_variables_that_a_program_has_asked_for() -> None:
    """Rule 30: it changes nothing that it looks at; what ``locals()`` has returned is the program's."""
    mine: list[dict[str, object]] = []

    async def ask() -> None:
        number = 1
        mine.append(locals())
        await asyncio.sleep(3600)
        assert number

    task = asyncio.create_task(ask())
    await turns()
    before = dict(mine[0])
    graph()
    assert mine[0] == before
    assert before["number"] == 1
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.cpython
async def test_a_look_calls_no_code_of_the_program() -> None:
    """Rule 30: it changes nothing that it looks at, also not by asking a proxy for its class."""

    class Proxy:
        calls: ClassVar[list[str]] = []

        @override
        def __getattribute__(self, name: str) -> object:
            Proxy.calls.append(name)
            return object.__getattribute__(self, name)

        @override
        def __eq__(self, other: object) -> bool:
            Proxy.calls.append("__eq__")
            return False

        __hash__ = object.__hash__

        @override
        def __repr__(self) -> str:
            Proxy.calls.append("__repr__")
            return ""

        def __bool__(self) -> bool:
            Proxy.calls.append("__bool__")
            return True

    async def hold(proxy: Proxy, channel: Channel[Proxy]) -> None:
        proxies = [proxy]
        async with channel.sender as itemize:
            await itemize(proxy)
            assert proxies

    task = asyncio.create_task(hold(Proxy(), Channel()))
    await turns()
    Proxy.calls.clear()
    graph()
    assert Proxy.calls == []
    task.cancel()
    await asyncio.wait([task])


async def test_no_look_is_had_where_no_event_loop_runs() -> None:
    """Rule 30: it needs a running event loop, and a Python that counts references."""
    with pytest.raises(RuntimeError):
        await asyncio.to_thread(graph)


if not COUNTED:

    async def test_on_a_python_that_counts_no_references_an_error_says_so() -> None:
        """Rule 30: what it can't see is no deadlock."""
        with pytest.raises(RuntimeError, match="counts references"):
            graph()


# The report.


def masked(text: str) -> str:
    """`text` without the numbers that asyncio gives to tasks, and without lines of this file."""
    return re.sub(r"Task-\d+|[\w/.]*test_diagnosis.py:\d+", "*", text)


@pytest.mark.cpython
def test_the_report_names_places_waits_and_what_could_end_them() -> None:
    """Rule 30: which task waits for which."""
    assert masked(str(look_at(split_and_read))) == REPORT


REPORT = """\
DEADLOCK: split_and_read.split() [*] -> split_and_read.read_one_after_the_other() [*] -> split_and_read.split() [*]
  Give `odd` a larger buffer, or read it and `even` at the same time: its reader waits for `even` first.

! split_and_read() [*] at *
    waits for the end of split_and_read.split() [*], split_and_read.read_one_after_the_other() [*]

! split_and_read.split() [*] at *
    waits in itemize of `odd`, whose item nothing has taken
    the channel is held by split_and_read() [*], split_and_read.read_one_after_the_other() [*]

! split_and_read.read_one_after_the_other() [*] at * in read()
    waits for an item of `even`, which has none
    its itemizer is held by split_and_read.split() [*]

  `odd`: lock-step, sender open, receiver open, 1 to be taken, 1 waiting in itemize, 0 waiting for an item
  `even`: lock-step, sender open, receiver open, 0 to be taken, 0 waiting in itemize, 1 waiting for an item"""


@pytest.mark.cpython
def test_the_flowchart_shows_tasks_and_channels() -> None:
    """Rule 30: which task waits for which."""
    assert masked(look_at(split_and_read).mermaid()).replace("<br>*", "") == CHART


CHART = """\
flowchart TB
  t0["split_and_read()<br>[*]"]:::stuck
  t1["split_and_read.split()<br>[*]"]:::stuck
  t2["split_and_read.read_one_after_the_other()<br>[*] in read()"]:::stuck
  c0[("odd<br>1 to be taken")]
  c1[("even<br>0 to be taken")]
  t1 ==>|"waits to send to"| c0
  c0 ==>|"held by"| t2
  t2 ==>|"waits for an item of"| c1
  c1 ==>|"fed by"| t1
  t0 -.->|"waits for the end"| t1
  t0 -.->|"waits for the end"| t2
  c0 -.->|"held by"| t0
  linkStyle 0,1,2,3 stroke:#a00
  classDef stuck fill:#fbb,stroke:#a00,color:#000"""


@pytest.mark.cpython
def test_the_flowchart_shows_names_as_they_are() -> None:
    """Rule 30: it renders, whatever tasks are called. What it shows was looked at in a browser."""

    async def program() -> None:
        await asyncio.create_task(asyncio.sleep(3600), name='"a" <b> #1; (x)')

    chart = look_at(program).mermaid()
    assert '["#quot;a#quot; #lt;b#gt; #35;1; (x)<br>asyncio.tasks<br>sleeps"]' in chart
    assert "linkStyle" not in chart


@pytest.mark.cpython
def test_of_many_tasks_a_flowchart_shows_those_that_are_stuck_first() -> None:
    """Rule 30: it renders. Mermaid draws at most 500 arrows."""

    async def program() -> None:
        numbers, go_on = Channel[int](), asyncio.Event()
        async with numbers.sender, asyncio.TaskGroup() as tasks:
            for _ in range(200):
                tasks.create_task(asyncio.sleep(3600))
            for _ in range(30):
                tasks.create_task(go_on.wait())
                tasks.create_task(read(numbers.receiver))

    found = look_at(program)
    assert found.verdict is Verdict.DEADLOCK
    lines = found.mermaid().splitlines()
    assert sum('["' in line for line in lines) == 60
    assert sum(":::stuck" in line for line in lines) == 60
    assert sum("->" in line or "==>" in line for line in lines) <= 500
