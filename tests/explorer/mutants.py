"""The library broken on purpose, one mistake at a time. The explorer has to find each.

A mutant is a few edits of the syntax tree (`tests.breaking`). It is applied to a copy of the source, and a process of its own
explores that copy. Each says what has to find it; `MUTANTS` are those of what every channel does.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.breaking import Finder, Mistakes, Mutant, always, drop, insert, never, put_broken_copy, remove, replace, run_on
from tests.explorer.mutants_of_flow import FLOW
from tests.explorer.mutants_of_producers import PRODUCERS

__all__ = ["EVERY_MUTANT", "MUTANTS", "find", "hunt"]

BUDGET: Final = 50_000
"""Schedules for one mutant: the part of a run in continuous integration that is left to chance."""

PATIENCE: Final = 180
"""Seconds for one mutant."""

BY: Final = frozenset({Finder.EXPLORER, Finder.TESTS})

state = Mistakes("_state.py", "ChannelState", BY)
ends = Mistakes("_ends.py", "ChannelEnds", BY)
queue = Mistakes("_queue.py", "WaitQueue", BY)
bound = Mistakes("_waiting.py", "BoundState", BY)
waiter = Mistakes("_waiting.py", "Waiter", BY)
waiting = Mistakes("_waiting.py", "", BY)
sender = Mistakes("sender.py", "Sender", BY)
receiver = Mistakes("receiver.py", "Receiver", BY)
run = Mistakes("_feed.py", "ProducerRun", BY)
block = Mistakes("_fed_block.py", "FedBlock", BY)
in_block = Mistakes("_fed_block.py", "", BY)
failures = Mistakes("_failures.py", "", BY)
streaming = Mistakes("stream.py", "", BY)

WAKING: Final = (
    state("a cancelled ask wakes no other in its place", "leave", remove("_.advance()")).also_by(Finder.SOAK),
    state("an ask that takes an item wakes no ask for the next", "take", drop("_.first is not None", 2)),
    state("an item that was accepted wakes no ask", "put", remove("_.advance()")),
    state("an itemizer that waits wakes no ask", "queue_sender", remove("_.advance()")),
    state(
        "an item that moves into the buffer wakes none for what is left of it",
        "may_return",
        replace("_.put(_1)", "self.items.append(_1)"),
    ),
    state("a slot is not given on after a withdrawal", "withdraw", remove("_.advance()")).also_by(Finder.SOAK),
    state("room in the buffer wakes no itemizer", "take", drop("_.first is not None", 1)),
    state("an item that is taken wakes none", "take", remove("_.advance()")),
    state("an ask does not wake the itemizer that may return for it", "ask", remove("_.wake()")),
    ends("the end wakes no ask", "notify_end", remove("_.wake()", 1)),
    ends("a close wakes no itemizer in the queue", "notify_end", remove("_.wake()", 3)),
    ends("a close wakes no itemizer whose item was taken", "notify_end", remove("_.wake()", 2)),
)

DELIVERY: Final = (
    state.at_several_places(
        "an item is handed over at the wake-up",
        state.edit(
            "put",
            insert(
                "if self.receivers.first is not None:\n"
                "    ask = self.receivers.popleft()\n"
                "    ask.item, ask.done = self.items.popleft(), True\n"
                "    ask.wake()",
                after="_.append(_)",
            ),
        ),
        state.edit(
            "take",
            insert(
                "if _1 is not None and _1.done:\n    handed_over, _1.done = _1.item, False\n    return handed_over",
                given="_.first is not _1",
            ),
        ),
        state.edit("leave", insert("if _1.done:\n    return", given="_.remove(_1)")),
    ).also_by(Finder.SOAK),
    state("a cancelled itemize withdraws nothing", "withdraw", remove("_.remove(_)")).also_by(Finder.SOAK),
    state("an itemizer may return as soon as its item is taken", "take", always("if _ is not None:\n    ...", 2)).also_by(
        Finder.SOAK
    ),
    state("an ask that waits acknowledges nothing", "ask", remove("if _ is not None:\n    ...")),
    state("an ask that finds an item acknowledges nothing", "take", remove("if _ is not None:\n    _._acknowledge()", 1)),
    state("an ask that waits already acknowledges nothing", "take", remove("_._acknowledge()", 3)),
    state("the end acknowledges nothing", "end", remove("_._acknowledge()")),
    state(
        "an item taken from its itemizer is not acknowledged, buffered",
        "take",
        remove("_._acknowledge()", 2),
    ),
    state("the buffer takes one too many", "try_put", replace("len(_1) >= _2.high", "len(_1) > _2.high")).also_by(Finder.SOAK),
    state("a new item passes those that wait", "try_put", drop("_.first is not None")).also_by(Finder.SOAK),
)


def in_any_order(name: str, where: str) -> Mutant:
    """Asks that wait are served in any order where that holds."""
    return state(
        name,
        "take",
        # Whichever it is leaves the queue.
        replace("if _1.behind:\n    ...\nelse:\n    ...", "_1.remove(_2)", 2, given="_.first is not _2"),
        replace("_.first is not _1", f"({where}) and _0", 1),
    )


ORDER: Final = (
    queue(
        "a ticket is queued before those behind the first",
        "append",
        insert("_1.move_to_end(_2, last=False)", after="_1[_2] = None"),
    ),
    state(
        "a new ask passes those that wait, buffered",
        "take",
        replace("_.first is not _1", "(_1 is not None or self.items is None) and _0", 1),
    ),
    state(
        "a new ask passes those that wait, in lock-step",
        "take",
        replace("_.first is not _1", "(_1 is not None or self.items is not None) and _0", 1),
    ),
    in_any_order("asks are served in any order, buffered", "self.items is None"),
    in_any_order("asks are served in any order, in lock-step", "self.items is not None"),
    state(
        "an ask that takes the first item of the queue takes the rest away",
        "take",
        never("if _.behind:\n    ...\nelse:\n    ...", 1),
    ),
    state("an ask does not look before it is queued", "ask", remove("if _ or _ or _:\n    ...")),
    state("an ask does not look for an item before it is queued", "ask", drop("_.items", 1), drop("_.first is not None")),
    state("an ask does not look for the end before it is queued", "ask", drop("_.sending is not OPEN")),
    receiver("a cancelled ask stays in the queue", "__anext__", remove("finish(_.leave, _)")).also_by(Finder.SOAK),
    sender("a ticket is used again as it was left", "_itemize", remove("_.done = False")),
    receiver("two asks share one ticket", "__anext__", remove("_._spare = None")),
)

MIDSTREAM: Final = (
    sender(
        "an empty buffer counts as midstream, sending",
        "_itemize",
        replace("_1 and len(_1) < _2.high and _3 and _4 and _5", "_1 is not None and len(_1) < _2.high and _3 and _4 and _5"),
    ),
    sender("a full buffer counts as midstream, sending", "_itemize", replace("len(_1) < _2.high", "len(_1) <= _2.high")),
    sender("midstream, an item is accepted after the end", "_itemize", drop("_.sending is OPEN")),
    sender("midstream, a new item passes those that wait", "_itemize", drop("_.first is None")),
    receiver(
        "an empty buffer counts as midstream, receiving",
        "__anext__",
        replace("_2.low < len(_1) < _2.high", "len(_1) < _2.high"),
    ),
    receiver(
        "a full buffer counts as midstream, receiving",
        "__anext__",
        replace("_2.low < len(_1) < _2.high", "_2.low < len(_1) <= _2.high"),
    ),
    receiver("midstream, a new ask passes those that wait", "__anext__", drop("_.first is None")),
)

ENDINGS: Final = (
    state("the end comes before what was sent", "take", insert("if self.is_over:\n    return END")).also_by(Finder.SOAK),
    ends("an error of the block looks like its end", "stop_sending", replace("_.sending = FAILED", "self.sending = FINISHED")),
    state(
        "only the first ask learns of the failure",
        "end",
        insert("self.sending = type(self.sending).FINISHED", before="errors.sender_failed(...)"),
    ).also_by(Finder.SOAK),
    state.at_several_places(
        "an itemizer works after its block",
        state.edit("try_put", replace("_.sending is not OPEN", "self.closed is not None")),
        state.edit("queue_sender", replace("_.sending is not OPEN", "self.closed is not None")),
    ),
    state("a sender is opened twice", "open", remove("errors.opened_twice(...)")),
    ends("a closed channel keeps the error", "drop_all", remove("_.error = None")),
    ends("a close keeps what was sent", "_drop_buffer", remove("_.items.clear()")).also_by(Finder.SOAK),
    state("itemize goes on after a close", "may_return", replace("raise errors.receiver_closed(...)", "return True")),
    sender("itemize goes on after a close that comes after the item was asked for", "_itemize", drop("not _.closed")),
    bound("a block does not end quietly", "end_block", replace("is_closing(...)", "False")),
    Mistakes("_ends.py", "", BY)("a foreign ReceiverClosed is swallowed", "is_closing", drop("_._source is _")),
    ends("a channel that was not opened yet looks ended", "is_over", drop("_.sending is not UNOPENED")),
    ends("a block that ended normally goes on", "stop_sending", remove("_.sending = FINISHED")),
    ends("the sending side goes on after a close", "stop_receiving", remove("_.sending = UNHEARD")),
    state("a sender that is opened after a close works", "open", remove("_.sending = UNHEARD")),
)

DROPPED: Final = (
    receiver("a receiver that is dropped wakes none", "__del__", remove("_.notify_end_in_loop()")),
    sender("a sender that is dropped wakes none", "__del__", remove("_.notify_end_in_loop()")),
    ends("an abandoned block goes unnoticed", "drop_sender", remove("_.sending = ABANDONED")),
    ends("an abandoned block looks like an end", "drop_sender", replace("_.sending = ABANDONED", "self.sending = FINISHED")),
    ends(
        "the stream of an abandoned block goes on",
        "is_over",
        replace("_.sending is not UNOPENED", "_0 and self.sending is not ABANDONED"),
    ),
    ends("a sender that was never opened goes unnoticed", "drop_sender", remove("_.sending = DROPPED_UNOPENED")),
    ends(
        "a sender that is dropped after a close breaks the stream",
        "drop_sender",
        remove("if _.closed:\n    ..."),
        replace("_.sending is OPEN", "self.sending in {OPEN, UNHEARD}"),
    ),
)

WAITING: Final = (
    waiter("a task is woken twice", "wake", remove("self.callback = None")),
    waiting("a waiter that is parked is not counted", "park", remove("_.parked += 1"), remove("_.parked -= 1")),
    waiting("a waiter that was woken stays so", "park", remove("_.callback")),
    receiver(
        "what comes during the first turn of an ask goes unnoticed", "__anext__", insert("await park(_1)", after="await spin(_1)")
    ),
    sender(
        "what comes during the first turn of an itemize goes unnoticed",
        "_itemize",
        insert("await park(_1)", after="await spin(_1)"),
    ),
)

FED: Final = (
    in_block("fed_by does not wait for its task", "outlast", remove("while _:\n    ...")).also_by(Finder.SOAK),
    run("fed_by does not cancel its task", "cancel", remove("_.cancel()")).also_by(Finder.SOAK),
    block("fed_by forgets the error of its producer", "__aexit__", replace("failure_of(_)", "None")),
    failures("fed_by raises an error that its body has handled", "what_failed", remove("only_reports(...)")),
    in_block("fed_by does not notice a task that never started", "ended", remove("_.end_block(...)")),
    in_block("fed_by swallows a cancellation", "outlast", remove("_ = _")),
    failures("fed_by replaces a cancellation", "what_failed", replace("_1 or _", "_1", 2)),
    streaming("a stream repeats itself", "drive", replace("_1.pop()", "_1[0]")).also_by(Finder.SOAK),
)

MUTANTS: Final = (*WAKING, *DELIVERY, *ORDER, *MIDSTREAM, *ENDINGS, *DROPPED, *WAITING, *FED)

EVERY_MUTANT: Final = (*MUTANTS, *FLOW, *PRODUCERS)


def explore(source: Path, *arguments: str) -> tuple[int, str]:
    """Return the exit status and the last line of an explorer that runs on `source`. A mutant that hangs is found, too."""
    try:
        done = run_on(source, "-m", "tests.explorer", "--first", *arguments, seconds=PATIENCE)
    except subprocess.TimeoutExpired:
        return 1, f"it hangs, or is not found in {PATIENCE} seconds"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode, lines[-1] if lines else ""


def find(mutant: Mutant, seed: int) -> tuple[bool, str]:
    """Return whether the explorer finds `mutant`, and what it says."""
    with tempfile.TemporaryDirectory(prefix="mutant") as directory:
        put_broken_copy(mutant, Path(directory))
        status, line = explore(Path(directory), "--chance", "--schedules", str(BUDGET), "--seed", str(seed))
    return status == 1 and "is broken, after" in line, line


def hunt(seed: int, words: Sequence[str]) -> int:
    """Explore every mutant that the explorer has to find, and that has one of `words` in its name, if any are given.

    Return an exit status: whether one was not found.
    """
    survivors: list[str] = []
    found, line = find(Mutant("nothing is broken", (), BY), seed)
    if found:
        print(f"The library itself breaks a promise: {line}")
        return 1
    mutants = [mutant for mutant in EVERY_MUTANT if Finder.EXPLORER in mutant.by]
    if words:
        mutants = [mutant for mutant in mutants if any(word in mutant.name for word in words)]
    for mutant in mutants:
        began = time.monotonic()
        found, line = find(mutant, seed)
        if not found:
            survivors.append(mutant.name)
            line = f"SURVIVES: {line}"
        print(f"{mutant.name:72}{time.monotonic() - began:5.1f} s  {line}", flush=True)
    print(f"\n{len(mutants) - len(survivors)} of {len(mutants)} mutants were found")
    return bool(survivors)
