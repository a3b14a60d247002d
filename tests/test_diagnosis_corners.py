"""What a look seldom finds: more than it can look at, what it can't see at all, and producers that run in unusual places."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from pathlib import Path

import pytest

from chanstream import Channel, Itemizer, Receiver, stream
from chanstream.diagnosis import Verdict, deadline, graph, on_signal, profile
from tests.loops import turns
from tests.test_diagnosis import look_at, merely_held, pool, split_and_read, unopened

pytestmark = pytest.mark.cpython


# The library's part: what of it a look reads.


async def wait_in(itemize: Itemizer[int], source: Receiver[int]) -> None:
    async for number in source:
        await itemize(number)


async def consume(items: AsyncIterator[int]) -> None:
    async for _ in items:
        pass


async def under_fed_by() -> None:
    empty = Channel[int]()
    async with Channel[int]().fed_by(wait_in, empty.receiver) as items:
        await consume(items)


async def under_feed() -> None:
    empty, channel = Channel[int](), Channel[int]()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(channel.feed(wait_in, empty.receiver))
        tasks.create_task(consume(channel.receiver))


async def under_stream() -> None:
    empty = Channel[int]()
    await consume(stream(wait_in, empty.receiver))


@pytest.mark.parametrize("program", [under_fed_by, under_feed, under_stream])
def test_the_place_of_a_producer_is_seen_however_it_is_run(program: Callable[[], object]) -> None:
    """Rule 30: which task waits for which. The frames of a producer are found by way of what the library runs it in."""
    found = look_at(program)  # type: ignore[arg-type]
    assert found.verdict is Verdict.DEADLOCK, str(found)
    line = wait_in.__code__.co_firstlineno + 1
    (producer,) = [each for each in found.tasks if f"test_diagnosis_corners.py:{line}" in each.place]
    assert producer.waits == "waits for an item of `empty`, whose sender nothing has opened"


def test_each_kind_of_wait_in_a_channel_is_distinguished() -> None:
    """Rule 30: which task waits for which, and for what."""

    async def program() -> None:
        taken, full = Channel[int](), Channel[int](buffer=1)

        async def send(channel: Channel[int]) -> None:
            async with channel.sender as itemize:
                for number in range(3):
                    await itemize(number)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send(taken))
            tasks.create_task(send(full))
            await turns()
            await anext(taken.receiver)
            await asyncio.Event().wait()

    text = str(look_at(program))
    assert "waits in itemize of `taken`, whose consumer took the item and has not come back" in text
    assert "waits in itemize of `full`, whose buffer of 1 is full" in text


def test_of_many_tasks_the_first_are_named() -> None:
    """Rule 30: a report of many tasks stays readable."""

    async def program() -> None:
        numbers = Channel[int]()
        async with numbers.sender, asyncio.TaskGroup() as tasks:
            for _ in range(7):
                tasks.create_task(consume(numbers.receiver))

    text = str(look_at(program))
    assert ", 2 more" in text
    assert "`numbers`: lock-step, sender open, receiver open, 0 to be taken, 0 waiting in itemize, 7 waiting for an item" in text


def test_channels_in_a_list_are_called_by_their_place() -> None:
    """Rule 30: a channel is called what the program calls it."""

    async def program() -> None:
        channels = [Channel[int]() for _ in range(2)]
        await asyncio.gather(*(anext(channel.receiver) for channel in channels))

    text = str(look_at(program))
    assert "`channels[0]`" in text
    assert "`channels[1]`" in text


class Crawler:
    def __init__(self) -> None:
        self.pages = Channel[int]()

    async def run(self) -> None:
        await consume(self.pages.receiver)


def test_channels_of_an_object_are_called_as_its_methods_call_them() -> None:
    """Rule 30: a channel is called what the program calls it."""
    assert "`self.pages`" in str(look_at(Crawler().run))


class Slotted:
    __slots__ = ("pages",)

    def __init__(self) -> None:
        self.pages = Channel[int]()

    async def run(self) -> None:
        await anext(self.pages.receiver)


def test_a_channel_without_any_name_is_called_a_channel() -> None:
    """Rule 30: what can't be seen is not invented."""
    assert "waits for an item of a channel, whose sender nothing has opened" in str(look_at(Slotted().run))


def test_of_the_channel_of_a_producer_that_has_no_name_it_is_said_what_feeds_it() -> None:
    """Rule 30: a channel is called what the program calls it, or what feeds it."""

    async def program() -> None:
        empty = Channel[int]()
        async with Channel[int]().fed_by(wait_in, empty.receiver) as items:
            reading = asyncio.create_task(consume(items))
            del items
            await reading

    assert "waits for an item of the channel that wait_in() feeds" in str(look_at(program)) or "`items`" in str(look_at(program))


async def test_a_program_that_runs_is_said_to() -> None:
    """Rule 30: the verdict."""
    task = asyncio.create_task(asyncio.sleep(3600))
    await turns()
    assert str(graph()).splitlines()[0] == "running: 1 tasks"
    assert "sleeps" in str(graph())
    task.cancel()
    await asyncio.wait([task])


# What can't be seen.


class Due:
    """What a timer refers to. There are many."""

    def act(self) -> None:
        pass


def test_more_timers_than_are_looked_at_make_a_deadlock_suspected() -> None:
    """Rule 30: what it can't see turns the verdict to suspected."""

    async def program() -> None:
        for _ in range(8_000):
            asyncio.get_running_loop().call_later(3600, Due().act)
        await split_and_read()

    found = look_at(program)
    assert found.verdict is Verdict.SUSPECTED
    assert found.unseen == ("one of many timers",)


def test_more_timers_than_are_looked_at_are_named_among_what_could_end_a_wait() -> None:
    """Rule 30: what it can't see, it says."""

    async def program() -> None:
        for _ in range(8_000):
            asyncio.get_running_loop().call_later(3600, Due().act)
        await merely_held()

    assert look_at(program).unseen[-1] == "one of many timers"


background: set[asyncio.Task[None]] = set()


@pytest.fixture
def forgets() -> Iterator[None]:
    yield
    background.clear()


@pytest.mark.usefixtures("forgets")
def test_tasks_that_a_module_keeps_are_a_deadlock() -> None:
    """Rule 30: what keeps them alive is found, so they will not be collected."""

    async def ask_and_answer(asks: Receiver[int], answers: Channel[int]) -> None:
        async with answers.sender as itemize:
            async for number in asks:
                await itemize(number)

    async def program() -> None:
        one, two = Channel[int](), Channel[int]()
        background.add(asyncio.create_task(ask_and_answer(one.receiver, two)))
        background.add(asyncio.create_task(ask_and_answer(two.receiver, one)))
        del one, two
        await asyncio.sleep(3600)

    found = look_at(program)
    assert found.verdict is Verdict.DEADLOCK, str(found)
    assert [each.is_stuck for each in found.tasks] == [False, True, True]


def test_a_sender_that_is_awaited_before_it_is_read_is_explained() -> None:
    """Rule 30: what would free them."""

    async def program() -> None:
        numbers = Channel[int]()

        async def send() -> None:
            async with numbers.sender as itemize:
                await itemize(1)

        await asyncio.create_task(send())
        await consume(numbers.receiver)

    found = look_at(program)
    assert found.verdict is Verdict.DEADLOCK, str(found)
    assert found.advice == "Read `numbers` before waiting for the end of its sender, or close its receiver."


def test_more_objects_than_are_looked_at_make_a_deadlock_suspected() -> None:
    """Rule 30: what it can't see turns the verdict to suspected."""

    async def program() -> None:
        things = [Due() for _ in range(20_000)]
        numbers = Channel[int]()
        pair = (things, [[[[numbers]]]])
        del numbers
        await anext(pair[1][0][0][0][0].receiver)

    found = look_at(program)
    assert found.verdict is Verdict.SUSPECTED, str(found)
    assert found.unseen[-1].startswith("what is beyond the ")


def test_a_python_that_does_not_count_exactly_suspects_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 30: what it can't see turns the verdict to suspected."""
    monkeypatch.setattr("chanstream.diagnosis._picture.COUNTS_EXACTLY", False)
    found = look_at(unopened)
    assert found.verdict is Verdict.SUSPECTED
    assert found.unseen == ("something that this Python does not count the references of",)


def test_tasks_that_may_be_garbage_are_in_no_deadlock() -> None:
    """Rule 30: what it can't see turns the verdict to suspected: here, what a thread refers to."""
    held, over = threading.Event(), threading.Event()

    def hold(tasks: list[object]) -> None:
        mine = tasks.pop()
        held.set()
        over.wait()
        del mine

    async def lonely() -> None:
        numbers = Channel[int]()
        await anext(numbers.receiver)

    async def program() -> None:
        thread = threading.Thread(target=hold, args=([asyncio.create_task(lonely())],))
        thread.start()
        await asyncio.to_thread(held.wait)
        asyncio.get_running_loop().call_later(0.05, look)
        try:
            await asyncio.sleep(3600)
        finally:
            over.set()
            thread.join()

    found: list[Verdict] = []

    def look() -> None:
        found.append(graph().verdict)
        for task in asyncio.all_tasks():
            task.cancel()

    with suppress(asyncio.CancelledError):
        asyncio.run(program())
    assert found == [Verdict.SUSPECTED]


BAD_ARGUMENTS: dict[str, Callable[[], object]] = {
    "deadline takes a number of seconds, not str": lambda: deadline("1"),  # type: ignore[arg-type]
    "deadline takes a number of seconds, not bool": lambda: deadline(True),  # noqa: FBT003 - the mistake
    "deadline takes a number of seconds, 0 or more and finite, not -1": lambda: deadline(-1),
    "deadline takes a number of seconds, 0 or more and finite, not nan": lambda: deadline(math.nan),
    "deadline takes a number of seconds, 0 or more and finite, not inf": lambda: deadline(math.inf),
    "profile(live=...) takes True or False, not str": lambda: profile(live="no"),  # type: ignore[arg-type]
    "on_signal takes a signal, such as signal.SIGUSR1, not str": lambda: on_signal("HUP"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("message", BAD_ARGUMENTS)
async def test_a_bad_argument_of_the_diagnosis_is_named_at_once(message: str) -> None:
    """Rules 21 and 30."""
    with pytest.raises((TypeError, ValueError)) as caught:
        BAD_ARGUMENTS[message]()
    assert str(caught.value) == message


@pytest.mark.parametrize("make", [partial(deadline, 1), profile], ids=["deadline", "profile"])
async def test_a_block_of_the_diagnosis_is_entered_once(make: Callable[[], AbstractAsyncContextManager[object]]) -> None:
    """Rules 21 and 30: neither again, nor within itself."""
    block = make()
    async with block:
        with pytest.raises(RuntimeError, match="entered before"):
            await block.__aenter__()
    with pytest.raises(RuntimeError, match=r"entered before, and is for one block: call (deadline|profile)\(\) again for another"):
        await block.__aenter__()


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("", "._profile", "._report"):
        monkeypatch.setattr(f"chanstream.diagnosis{module}.COUNTS", False)


@pytest.mark.usefixtures("blind")
async def test_a_python_that_can_not_look_says_so() -> None:
    """Rule 30: on a Python that counts no references it doesn't look, and says so."""
    with pytest.raises(RuntimeError, match="counts references"):
        graph()
    with pytest.raises(RuntimeError, match="counts references"):
        profile()
    with pytest.raises(TimeoutError, match="counts references"):
        async with deadline(0):
            await asyncio.sleep(3600)


async def test_a_look_that_fails_ends_nothing_but_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 30: it changes nothing that it looks at."""

    def fail(_: object) -> None:
        raise LookupError

    monkeypatch.setattr("chanstream.diagnosis._report.picture", fail)
    with pytest.raises(TimeoutError, match="the look failed: LookupError"):
        async with deadline(0):
            await asyncio.sleep(3600)


def test_a_look_of_a_profile_that_fails_ends_nothing_but_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 30: it changes nothing that it looks at."""

    async def main() -> str:
        async with profile() as found:
            monkeypatch.setattr(asyncio, "current_task", None)
            await asyncio.sleep(0.1)
            monkeypatch.undo()
        return str(found)

    assert "A look has failed: TypeError" in asyncio.run(main())


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    yield
    monkeypatch.undo()


@pytest.mark.usefixtures("nowhere")
def test_a_directory_that_is_gone_does_not_hinder_a_look() -> None:
    """Rule 30: places are then shown in full."""
    assert __file__ in str(look_at(under_fed_by))


async def test_code_that_is_no_function_may_look() -> None:
    """Rule 30: the names of a module or a class are no local variables, and are left as they are."""
    names: dict[str, object] = {"graph": graph}
    numbers = Channel[int]()
    reader = asyncio.ensure_future(anext(numbers.receiver))
    await turns()
    exec("found = graph()", names)  # noqa: S102 - code that is no function
    assert "graph" in names
    assert "SUSPECTED" in str(names["found"])
    reader.cancel()
    await asyncio.wait([reader])


def test_a_timeout_whose_attributes_were_looked_at_is_still_one() -> None:
    """Rule 30: a timeout around the wait may come earlier, if something can reach it."""

    async def program() -> None:
        scope = asyncio.timeout(None)
        assert vars(scope)

        async def reschedule() -> None:
            await asyncio.sleep(3600)
            scope.reschedule(0)

        numbers = Channel[int]()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reschedule())
            async with scope:
                await anext(numbers.receiver)

    assert look_at(program).verdict is not Verdict.DEADLOCK


def test_the_error_of_a_sender_block_hides_no_deadlock() -> None:
    """Rule 30: what it calls a deadlock is one; what the traceback of an error keeps is held by nothing else."""

    async def program() -> None:
        numbers = Channel[int]()
        async with asyncio.TaskGroup() as tasks:
            writers = list[asyncio.Task[None]]()
            await asyncio.wait([tasks.create_task(fail(numbers, tasks, writers))])
            await asyncio.wait(writers)
            await consume(numbers.receiver)

    async def fail(channel: Channel[int], tasks: asyncio.TaskGroup, writers: list[asyncio.Task[None]]) -> None:
        with suppress(LookupError):
            async with channel.sender as itemize:
                writers.append(tasks.create_task(write(itemize)))
                await turns()
                raise LookupError

    async def write(itemize: Itemizer[int]) -> None:
        await itemize(1)

    found = look_at(program)
    assert found.verdict is Verdict.DEADLOCK, str(found)


def test_the_pool_has_no_other_task_to_help_it() -> None:
    """Rule 30: the tasks of a cycle are told by name and place."""
    found = look_at(pool)
    assert all(":" in each.place for each in found.cycle)
    assert str(found.cycle[0]) == f"{found.cycle[0].name} at {found.cycle[0].place}"
