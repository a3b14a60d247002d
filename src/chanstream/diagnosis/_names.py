"""What tasks, channels and places are called, in the words of the program."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType, MethodType
from typing import Final

from chanstream._feed import ProducerRun
from chanstream.channel import Channel
from chanstream.receiver import Receiver
from chanstream.sender import Sender

from ._heap import Heap
from ._python import attributes, frame_of, is_a, local_names, referents
from ._tasks import PRIMITIVES, Sleeper, thread_of

__all__ = ["Names", "shortened"]

LIBRARY: Final = f"{Path(__file__).parent.parent}{os.sep}"
STANDARD_LIBRARY: Final = f"{Path(os.__file__).parent}{os.sep}"
INSTALLED: Final = ("site-packages", "dist-packages")
DEMONSTRATION: Final = f"{LIBRARY}__main__.py"

UVLOOP: Final = f"{os.sep}uvloop{os.sep}"

FEW: Final = 32
"""How many members of a list are looked at, for channels."""


class Names:
    """Names, by the numbers of a heap. What would be called as something else is gets a number behind its name."""

    __slots__ = ("channels", "inner", "places", "primitives", "tasks")

    tasks: dict[int, str]
    places: dict[int, str]
    """Where each task stands in the code of the program."""
    channels: dict[int, str]
    """By the number of the state."""
    primitives: dict[int, str]
    """What locks, events and the like are called."""
    inner: set[int]
    """The tasks that run nothing of the program's."""

    def __init__(self, heap: Heap, sleepers: list[Sleeper]) -> None:
        frames = {each.task: own_frames(heap, each) for each in sleepers}
        self.inner = {task for task, own in frames.items() if not own}
        self.places = {each.task: place(frames[each.task] or in_thread(heap, each)) or module(heap, each) for each in sleepers}
        self.tasks = numbered({task: name_of(heap.objects[task], own) for task, own in frames.items()})
        names: dict[int, dict[str, None]] = {}
        others: dict[int, str] = {}
        variables = [each for own in frames.values() for frame in own for each in named(local_names(frame))]
        for kind, form in ((Channel, "`{}`"), (Receiver, "`{}`"), (MethodType, "the channel of `{}`")):
            for name, value in variables:
                state = heap.index.get(state_behind(value)) if is_a(value, kind) else None
                if state is not None:
                    names.setdefault(state, {})[form.format(name)] = None
        for name, value in variables:
            if issubclass(type(value), PRIMITIVES) and id(value) in heap.index:
                others.setdefault(heap.index[id(value)], f"`{name}`")
        del variables
        self.primitives = numbered(others)
        for each in sleepers:
            for holder in each.chain:
                for thing in referents(heap.objects[holder]):
                    if is_a(thing, ProducerRun) and (state := heap.index.get(id(thing._state))) is not None:
                        names.setdefault(state, {})[f"the channel that {self.tasks[each.task]} feeds"] = None
        often = Counter(name for known in names.values() for name in known)
        self.channels = numbered({state: min(known, key=lambda name: often[name]) for state, known in names.items()})


def own_frames(heap: Heap, sleeper: Sleeper) -> list[FrameType]:
    """Return the frames of a task that are the program's own, the outermost first."""
    frames = [frame_of(heap.objects[each]) for each in sleeper.chain]
    return of_program([each for each in frames if each is not None])


def of_program(frames: list[FrameType]) -> list[FrameType]:
    """Return those of `frames` that are the program's own: not those of what it has installed, if it is not installed itself."""
    own = [each for each in frames if is_own(each.f_code.co_filename)]
    return [each for each in own if not any(name in each.f_code.co_filename for name in INSTALLED)] or own


def in_thread(heap: Heap, sleeper: Sleeper) -> list[FrameType]:
    """Return where the thread is that a task waits for."""
    thread = thread_of(heap, sleeper)
    frame = None if thread is None or thread.ident is None else sys._current_frames().get(thread.ident)
    found: list[FrameType] = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return of_program(found[::-1])


def is_own(file: str) -> bool:
    """Return whether code is not that of this library, of Python or of an event loop."""
    if file.startswith(LIBRARY):
        return file == DEMONSTRATION
    if file.startswith(STANDARD_LIBRARY) and not file.removeprefix(STANDARD_LIBRARY).startswith(INSTALLED):
        return False
    return UVLOOP not in file and not file.startswith("<frozen ")


def name_of(task: object, frames: list[FrameType]) -> str:
    assert is_a(task, asyncio.Task)
    own = task.get_name()
    if not frames:
        return own
    outermost = function(frames[0])
    # Some Pythons call every task of an eager task factory None.
    return f"{outermost}()" if own in {outermost, "None"} else f"{outermost}() [{own}]"


def numbered(names: dict[int, str]) -> dict[int, str]:
    """Return `names` with a number behind each that is not the only one of its kind."""
    often = Counter(names.values())
    count = Counter[str]()
    found: dict[int, str] = {}
    for number, name in names.items():
        count[name] += 1
        found[number] = f"{name} #{count[name]}" if often[name] > 1 else name
    return found


def named(variables: Iterable[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    """Yield variables, the members of those that are lists, and the attributes of `self`."""
    for name, value in variables:
        yield name, value
        if type(value) is list or type(value) is tuple:
            for number, member in enumerate(value[:FEW]):
                yield f"{name}[{number}]", member
        elif name == "self":
            for attribute, member in attributes(value):
                yield f"self.{attribute}", member


def state_behind(value: object) -> int:
    """Return the identity of the state of a channel that a variable stands for."""
    if is_a(value, MethodType):
        value = value.__self__
    if is_a(value, Channel) or is_a(value, Receiver) or is_a(value, Sender):
        return id(value._state)
    return 0


def place(frames: list[FrameType]) -> str:
    """Return where the innermost of `frames` is, and in which function if that is not the outermost."""
    if not frames:
        return ""
    where = shortened(f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}")
    return where if len(frames) == 1 else f"{where} in {function(frames[-1])}()"


def module(heap: Heap, sleeper: Sleeper) -> str:
    """Return the package of this library whose function a task runs, or the module of another one."""
    frames = [frame_of(heap.objects[each]) for each in sleeper.chain]
    names = [str(each.f_globals["__name__"]).partition("._")[0] for each in frames if each is not None]
    return next((name for name in names if name.startswith("chanstream.")), names[0] if names else "?")


def function(frame: FrameType) -> str:
    return frame.f_code.co_qualname.replace("<locals>.", "")


def shortened(place: str) -> str:
    """Return a place without the directory that the program runs in."""
    try:
        return place.removeprefix(f"{Path.cwd()}{os.sep}")
    except OSError:  # it has been deleted
        return place
