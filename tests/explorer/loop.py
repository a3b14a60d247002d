"""An event loop that has the order of its callbacks chosen from outside.

Tasks and futures are asyncio's own. The loop holds what is ready in a list; the chooser says which callback runs next. Any order is
allowed, so whatever a channel promises about order has to be the channel's own doing. Besides the ready callbacks, the chooser may
pick a cue: something that happens from outside, such as a cancellation, a close, or the end of a timeout. Time is virtual.

When nothing is ready the loop is idle. It says so, and then gives the next cue; without one, the run is over.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import _set_running_loop
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from types import FrameType
from typing import Final, Protocol, TypeVar, TypeVarTuple

from typing_extensions import override

from tests.garbage import COUNTED, let_go

__all__ = ["ChoiceLoop", "Chooser", "Cue", "RestlessError", "StopChoosing", "WatchedTask"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MANY_STEPS: Final = 600
"""No program takes so many: two tasks are waking each other in vain."""


class RestlessError(Exception):
    """The program doesn't come to rest."""


class StopChoosing(Exception):
    """Raised by a chooser: how this run goes on has been seen before."""


class Chooser(Protocol):
    def __call__(self, ready: int, cues: int, /) -> int:
        """Choose among `ready` callbacks, the oldest first, and then `cues` cues. Where the run may end, that is number 0."""
        ...


class Cue:
    """Something that may happen from outside. One that `must` happen does so at the latest when nothing else does."""

    __slots__ = ("act", "label", "must", "open", "target")

    def __init__(
        self, label: str, act: Callable[[], None], may: Callable[[], bool] | None = None, *, must: bool, target: str = ""
    ) -> None:
        self.label = label
        self.act = act
        self.open = may
        self.must = must
        self.target = target


class ReadyHandle(asyncio.TimerHandle):
    """A callback that is ready, or that a timer makes ready."""

    __slots__ = ("_home", "cue", "run_args", "run_context", "runs", "when_due")

    def __init__(
        self,
        home: ChoiceLoop,
        callback: Callable[[*Ts], object],
        args: tuple[*Ts],
        context: Context | None,
        when_due: float = 0.0,
    ) -> None:
        # asyncio's own fields are left alone: setting them costs as much as all the rest.
        self._home = home
        self.runs: Callable[..., object] | None = callback
        self.run_args: tuple[object, ...] = args
        self.run_context = copy_context() if context is None else context
        self.when_due = when_due
        self.cue: Cue | None = None

    @override
    def cancel(self) -> None:
        if self.runs is None:
            return
        self.runs = None
        if self.cue is not None:
            self._home.cues.remove(self.cue)
            self.cue = None
        elif self in self._home.ready:
            self._home.ready.remove(self)

    @override
    def cancelled(self) -> bool:
        return self.runs is None

    @override
    def when(self) -> float:
        return self.when_due

    __hash__ = object.__hash__

    @override
    def __eq__(self, other: object) -> bool:
        return self is other

    @override
    def __repr__(self) -> str:
        return f"<callback {self.label}>"

    @property
    def owner(self) -> str | None:
        """The name of the task whose step this is; None for another callback."""
        owner: object = getattr(self.runs, "__self__", None)
        return owner.get_name() if isinstance(owner, asyncio.Task) else None

    @property
    def subject(self) -> str:
        """For a callback of a harness: what it touches. For another one, the future that it is called with."""
        subject: object = getattr(getattr(self.runs, "__self__", None), "subject", None)
        if isinstance(subject, str):
            return subject
        names = [each.get_name() for each in self.run_args if isinstance(each, asyncio.Task)]
        return " ".join(names)

    @property
    def label(self) -> str:
        return self.owner or str(getattr(self.runs, "__qualname__", self.runs))


class WatchedTask(asyncio.Task[T]):
    """A task that notes how often the library cancels it."""

    by_library = 0
    """How many cancellations the library has asked for and not taken back."""
    too_often = ""
    """What was wrong with one of them."""

    @override
    def cancel(self, msg: object = None) -> bool:
        if is_library(sys._getframe(1)):
            self.by_library += 1
            if self.by_library > 1:
                self.too_often = "it is cancelled twice"
            elif self.by_library == 1 and self.cancelling():
                self.too_often = self.too_often or "it is cancelled while another cancellation is under way"
        return super().cancel() if msg is None else super().cancel(msg)

    @override
    def uncancel(self) -> int:
        if is_library(sys._getframe(1)):
            self.by_library -= 1
        return super().uncancel()


def is_library(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("chanstream")


class ChoiceLoop(asyncio.AbstractEventLoop):
    """One run. `at_rest` is called when nothing is ready; `tail` holds what is done, one by one, when no cue is left that must."""

    def __init__(self, at_rest: Callable[[], None], *, eager: bool = False) -> None:
        self.ready: list[ReadyHandle] = []
        self.cues: list[Cue] = []
        self.tail: list[Callable[[], None]] = []
        self.at_rest = at_rest
        self.eager = eager
        self.steps = 0
        self.now = 0.0
        self.reports: list[str] = []
        self.tasks: list[asyncio.Task[object]] = []
        self.children: dict[str, int] = {}

    # What the library and asyncio use.

    @override
    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        handle = ReadyHandle(self, callback, args, context)
        self.ready.append(handle)
        return handle

    @override
    def call_soon_threadsafe(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    @override
    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    @override
    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = ReadyHandle(self, callback, args, context, when)

        def elapse() -> None:
            self.now = max(self.now, when)
            handle.cue = None
            self.ready.append(handle)

        # The library uses one to look again, which it may have to do any number of times while something else is ready.
        waits = (lambda: not self.ready) if is_library(sys._getframe(2)) else None
        handle.cue = Cue(f"timer of {self.running()}", elapse, waits, must=True)
        self.cues.append(handle.cue)
        return handle

    @override
    def time(self) -> float:
        return self.now

    @override
    def create_future(self) -> asyncio.Future[object]:
        return asyncio.Future(loop=self)

    @override
    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[object, object, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: object,
    ) -> asyncio.Task[T]:
        if name is None:
            parent = self.running()
            number = self.children[parent] = self.children.get(parent, 0) + 1
            name = f"{parent}/{number}"
        task = self.make_task(coro, name, context)
        self.tasks.append(task)
        return task

    def make_task(self, coro: Coroutine[object, object, T], name: str, context: Context | None) -> asyncio.Task[T]:
        if sys.version_info >= (3, 12) and self.eager:
            return WatchedTask(coro, loop=self, name=name, context=context, eager_start=True)
        return WatchedTask(coro, loop=self, name=name, context=context)

    @override
    def get_debug(self) -> bool:
        return False

    @override
    def is_running(self) -> bool:
        return True

    @override
    def is_closed(self) -> bool:
        return False

    @override
    def call_exception_handler(self, context: dict[str, object]) -> None:
        self.reports.append(f"{context.get('message')}: {context.get('exception')!r}")

    # The run.

    def running(self) -> str:
        task = asyncio.current_task(self)
        return "outside" if task is None else task.get_name()

    def task(self, name: str) -> asyncio.Task[object] | None:
        for task in self.tasks:
            if task.get_name() == name:
                return task
        return None

    def open_cues(self) -> list[Cue]:
        return [cue for cue in self.cues if cue.open is None or cue.open()]

    def run(self, choose: Chooser) -> None:
        """Run until nothing is left to do. Raises `RestlessError`, and what the chooser raises."""
        ready = self.ready
        _set_running_loop(self)
        try:
            while True:
                if ready:
                    cues = self.open_cues() if self.cues else []
                    number = choose(len(ready), len(cues))
                    if number < len(ready):
                        self.step(ready.pop(number))
                    else:
                        self.give(cues[number - len(ready)])
                    continue
                self.forget()
                if ready:
                    continue
                self.at_rest()
                cues = self.open_cues() if self.cues else []
                if any(cue.must for cue in cues):
                    self.give(cues[choose(0, len(cues))])
                elif (number := choose(1, len(cues)) if cues else 0) > 0:
                    self.give(cues[number - 1])
                elif self.tail:
                    self.steps += 1
                    self.tail.pop(0)()
                elif not self.notices():
                    return
        finally:
            _set_running_loop(None)

    def forget(self) -> None:
        """A cancelled task keeps its error, and with it what it was called with, until that is retrieved."""
        for task in self.tasks:
            if task.cancelled():
                with suppress(asyncio.CancelledError):
                    task.result()

    def notices(self) -> bool:
        """Return whether a task goes on because of what the program has dropped, where that is noticed late."""
        if not COUNTED and not all(task.done() for task in self.tasks):
            let_go()
        return bool(self.ready)

    def give(self, cue: Cue) -> None:
        self.steps += 1
        self.cues.remove(cue)
        cue.act()

    def step(self, handle: ReadyHandle) -> None:
        self.steps += 1
        if self.steps > MANY_STEPS:
            raise RestlessError
        runs = handle.runs
        if runs is None:
            return
        try:
            handle.run_context.run(runs, *handle.run_args)
        except Exception as error:
            self.reports.append(f"{handle.label}: {error!r}")
