"""Which stage of a pipeline is the bottleneck: `profile`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.util import find_spec
from time import perf_counter
from types import FrameType, TracebackType
from typing import Final, Self, final

from chanstream import errors
from chanstream._override import override
from chanstream._waiting import BoundState

from ._arguments import check_live, check_once
from ._names import is_own, shortened
from ._python import COUNTS
from ._stages import StageRow, Stages, calls
from ._ticker import SignalTicker, ThreadTicker, ticker

__all__ = ["Profile", "profile"]

EVERY: Final = 0.02
"""Seconds from one look to the next."""

ANEW: Final = 1.0
"""Seconds until stages are looked for again, and then at most a hundredth of the time."""

OFTEN: Final = 4
"""How many times stages are looked for at each look, in the beginning."""

SELDOM: Final = 0.1
"""The share of the time that a stage has to run, for its place to be shown."""

FEW: Final = 0.5
"""The share of the looks that has to come through."""


HEADING: Final = ["stage", "input full", "output full", "output empty", "runs", "waits", "mostly at"]
WIDTHS: Final = (32, 12, 12, 13, 7, 7)


def profile(*, live: bool = False) -> Profile:
    """Return a block, to be entered with ``async with``, that finds the bottleneck of the pipelines that run meanwhile.

    Every 20 milliseconds it looks which channels are full and which are empty, which stage runs, and for which one the others wait
    while the event loop is idle. After the block, and within it, `Profile.bottleneck` names a stage, and `str` of it is a table.

    In the main thread it looks by a signal, SIGALRM, if nothing else uses that; otherwise by a thread, which a busy event loop lets
    look less often. The report says so, if there were too few looks. It takes less than 1 % of a processor.

    With `live`, the table is shown on stderr while the block runs, and drawn anew four times a second. That takes more, and needs
    rich: ``pip install 'chanstream[diagnosis]'``.

    **Waits** for nothing itself.

    **Raises** TypeError if `live` is not a bool; ImportError with `live` if rich is not installed; RuntimeError on a Python that
    doesn't count references, such as PyPy. Entering raises RuntimeError where no event loop runs, and a second time.
    """
    check_live(live)
    if not COUNTS:
        raise errors.cannot_look()
    if live and find_spec("rich") is None:
        raise errors.no_rich()
    return Profile(live=live)


@final
class Profile:
    """What `profile` returns: an asynchronous context manager for one use, and what it has found so far."""

    __slots__ = (
        "_began",
        "_ended",
        "_failure",
        "_is_live",
        "_last",
        "_looks",
        "_loop",
        "_next",
        "_stages",
        "_stop_table",
        "_ticker",
    )

    def __init__(self, *, live: bool = False) -> None:
        self._is_live = live
        self._stop_table: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stages = Stages()
        self._ticker: SignalTicker | ThreadTicker | None = None
        self._began = self._ended = self._last = 0.0
        self._next = 0.0  # when stages are looked for again
        self._looks = 0
        self._failure = ""  # the error by which a look has failed

    async def __aenter__(self) -> Self:
        check_once("profile", was_entered=self._loop is not None)
        self._loop = asyncio.get_running_loop()
        self._began = self._last = self._next = perf_counter()
        if self._is_live:
            from ._live import start_table

            self._stop_table = start_table(HEADING, self._rows, self._sentences)
        self._ticker = ticker(self._tick, EVERY)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        assert self._ticker is not None
        self._ticker.stop()
        self._ended = perf_counter()
        if self._stop_table is not None:
            self._stop_table()

    def _tick(self, frame: FrameType | None) -> None:
        try:
            self._look(frame)
        except Exception as error:  # in the middle of whatever the program does, which must not end by it
            self._failure = repr(error)

    def _look(self, frame: FrameType | None) -> None:
        loop = self._loop
        assert loop is not None
        if loop.is_closed() and self._ticker is not None:
            self._ticker.stop()  # the block was thrown away and never left
            return
        now = perf_counter()
        elapsed, self._last = now - self._last, now
        self._looks += 1
        if now >= self._next:
            self._stages.find(loop, frame)
            self._next = now + max(ANEW if self._looks > OFTEN else EVERY, 100 * (perf_counter() - now))
        for row in self._stages.rows.values():
            row.input_full += elapsed * any(map(is_full, row.inputs))
            if row.output is not None:
                row.output_full += elapsed * is_full(row.output)
                row.output_empty += elapsed * (row.output.receivers.first is not None)
        task = asyncio.current_task(loop)
        if task is not None:
            self._note_running(self._stages.of(task, frame), frame, elapsed)
        else:
            self._note_idle(elapsed)

    def _note_running(self, row: StageRow, frame: FrameType | None, elapsed: float) -> None:
        row.cpu += elapsed
        own = [each for each in calls(frame) if is_own(each.f_code.co_filename)]
        row.places.update([(each.f_code.co_filename, each.f_lineno) for each in own[-1:]])

    def _note_idle(self, elapsed: float) -> None:
        """The others wait for a stage that has something to read and room for what it makes; or for one that reads nothing."""
        rows = self._stages.rows.values()
        late = [row for row in rows if any(map(is_full, row.inputs)) and not is_full(row.output)]
        late = late or [row for row in rows if not row.inputs and row.output is not None and not is_full(row.output)]
        for row in late[:1]:
            row.waits += elapsed

    @property
    def bottleneck(self) -> str:
        """The name of the stage that the others waited for most; empty, if none was seen."""
        worst = self._worst()
        return "" if worst is None else worst.full_name

    def _worst(self) -> StageRow | None:
        rows = [row for row in self._stages.rows.values() if row.cpu + row.waits]
        return max(rows, key=lambda row: row.cpu + row.waits, default=None)

    @override
    def __str__(self) -> str:
        lines = [line([*HEADING]), *map(line, self._rows()), "", *self._sentences()]
        return "\n".join(lines)

    @property
    def _whole(self) -> float:
        """How many seconds it took, or has taken so far."""
        return max((self._ended or perf_counter()) - self._began, 1e-9)

    def _rows(self) -> list[list[str]]:
        whole = self._whole
        return [cells(row, whole) for row in downstream(list(self._stages.rows.values()))]

    def _sentences(self) -> list[str]:
        found = [self._sentence()]
        wanted = self._whole / EVERY
        if self._looks < FEW * wanted:
            found.append(
                f"Only {self._looks} of {wanted:.0f} looks came through, since the program was too busy: take it with care."
            )
        if self._failure:
            found.append(f"A look has failed: {self._failure}")
        return found

    def _sentence(self) -> str:
        worst, whole = self._worst(), self._whole
        if worst is None:
            return "No stage was seen at work."
        how = "it runs" if worst.cpu >= worst.waits else "the others wait for it, and it for something else"
        return f"{worst.full_name} is the bottleneck: {share(worst.cpu + worst.waits, whole)} of the time, {how}."


def is_full(state: BoundState[object] | None) -> bool:
    """Return whether the reader of a channel is the later one: an itemizer waits, or the buffer is half full."""
    if state is None:
        return False
    return state.strands_senders or (bool(state.items) and 2 * len(state.items or ()) >= state.buffer)


def downstream(rows: list[StageRow]) -> list[StageRow]:
    """Return `rows` in the order in which items go through them."""
    fed = {id(row.output): row for row in rows if row.output is not None}

    def depth(row: StageRow, seen: tuple[StageRow, ...] = ()) -> int:
        above = [fed[id(state)] for state in row.inputs if id(state) in fed]
        return 1 + max((depth(each, (*seen, row)) for each in above if each not in seen), default=0)

    return sorted(rows, key=lambda row: (depth(row), row.output is None, row.name))


def cells(row: StageRow, whole: float) -> list[str]:
    """Return what was seen of one stage, in the order of the heading."""
    full = share(row.input_full, whole) if row.inputs else ""
    out_full, out_empty = ("", "") if row.output is None else (share(row.output_full, whole), share(row.output_empty, whole))
    places = [shortened(f"{file}:{number}") for (file, number), _ in row.places.most_common(1) if row.cpu > SELDOM * whole]
    return [row.full_name, full, out_full, out_empty, share(row.cpu, whole), share(row.waits, whole), "".join(places)]


def line(row: list[str]) -> str:
    """Return a row of the table as a line."""
    first, *numbers, last = row
    columns = [f"{text:>{width}}" for text, width in zip(numbers, WIDTHS[1:], strict=True)]
    return f"{first:<{WIDTHS[0]}}{''.join(columns)}  {last}".rstrip()


def share(part: float, whole: float) -> str:
    return f"{min(part / whole, 1):.0%}"
