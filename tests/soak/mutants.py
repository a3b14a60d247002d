"""The library broken on purpose, as the explorer does it. A short soak has to find each break.

Most are of the kind that only much of something shows: leaks, finalizers in another thread, places in long queues.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.breaking import Edit, Finder, Mistakes, Mutant, always, insert, put_broken_copy, remove, replace, run_on
from tests.explorer.mutants import EVERY_MUTANT

__all__ = ["LISTED", "find", "hunt"]

SHORT: Final = ("--items", "60000", "--crowd", "200", "--stages", "30", "--seed", "1", "--seconds", "10", "--first")

LOOPS: Final = "asyncio,debug"
"""In debug mode an event loop minds being called from another thread."""

PATIENCE: Final = 180
"""Seconds for one mutant."""

BY: Final = frozenset({Finder.SOAK})

state = Mistakes("_state.py", "ChannelState", BY)
ends = Mistakes("_ends.py", "ChannelEnds", BY)
queue = Mistakes("_queue.py", "WaitQueue", BY)
bound = Mistakes("_waiting.py", "BoundState", BY)
sender = Mistakes("sender.py", "Sender", BY)


def kept(name: str, module: str, function: str, after: str, what: str) -> Mutant:
    """After the statement `after`, one more reference to `what` is kept for ever."""
    kept_for_ever = Edit(module, "", (insert("KEPT: list[object] = []"),))
    return Mutant(name, (kept_for_ever, Edit(module, function, (insert(f"KEPT.append({what})", after=after),))), BY)


LEAKS: Final = (
    kept("an item that waited is kept", "sender.py", "Sender._itemize", "_.item = _1", "_1"),
    kept("an item in the buffer is kept", "_state.py", "ChannelState.put", "_.append(_1)", "_1"),
    kept("an item that goes by midstream is kept", "sender.py", "Sender._itemize", "_.append(_1)", "_1"),
    kept("a list grows by a pointer for every item", "stream.py", "Handover.itemize", "_.append(_)", "None"),
    kept("the wake-up of a wait is kept", "_waiting.py", "Waiter.wake", "self.wake_up = _1", "self.wake_up"),
    kept("the state of a channel is kept", "channel.py", "Channel.__init__", "Receiver(_1)", "_1"),
    kept("the place of a cancelled ask is kept", "receiver.py", "Receiver.__anext__", "finish(_.leave, _1)", "_1"),
    kept("the place of a cancelled itemize is kept", "sender.py", "Sender._itemize", "finish(_.withdraw, _1)", "_1"),
    kept("the task of a block is kept", "_fed_block.py", "FedBlock.__aenter__", "_1.add_done_callback(_)", "_1"),
)

THREADS: Final = (
    bound(
        "a finalizer calls the event loop from its own thread",
        "notify_end_in_loop",
        replace("_1.call_soon_threadsafe(_2)", "_1.call_soon(_2)"),
    ),
    sender(
        "a finalizer draws the consequences in its own thread", "__del__", replace("_1.notify_end_in_loop()", "_1.notify_end()")
    ),
    bound(
        "a sender block can't be closed in another thread", "end_block", always("if _ is None:\n    raise errors.foreign_loop(_)")
    ),
    ends("a receiver that is dropped is not closed", "drop_receiver", remove("_.stop_receiving()")),
)

CROWDS: Final = (
    queue("the last in the queue is served next", "popleft", replace("_1.popitem(last=False)", "_1.popitem()")),
    sender("two that wait share one place", "_itemize", remove("_._spare = None")),
    ends(
        "a close wakes only the first that waits",
        "notify_end",
        replace("for _1 in _2:\n    _1.wake()", "for _1 in [*_2][:1]:\n    _1.wake()", 2),
    ),
)

LISTED: Final = (*LEAKS, *THREADS, *CROWDS, *(mutant for mutant in EVERY_MUTANT if Finder.SOAK in mutant.by))


def find(mutant: Mutant, *arguments: str) -> tuple[bool, str]:
    """Return whether a short soak finds `mutant`, and what it says."""
    with tempfile.TemporaryDirectory(prefix="mutant") as directory:
        put_broken_copy(mutant, Path(directory))
        try:
            done = run_on(Path(directory), "-m", "tests.soak", *SHORT, "--loops", LOOPS, *arguments, seconds=PATIENCE)
        except subprocess.TimeoutExpired:
            return False, f"it takes more than {PATIENCE} seconds"
    lines = done.stdout.strip().splitlines()
    if not lines or lines[0].split()[2] != directory:
        return False, f"another library was run, or none: {(lines + done.stderr.strip().splitlines())[-1]}"
    if "Timeout (" in done.stderr:
        # Not always with status 1: faulthandler reads the stacks of threads that run, and now and then it crashes over one.
        return done.returncode != 0, f"it hangs and can't be cancelled, after: {lines[-1]}"
    return done.returncode == 1 and lines[-1].startswith("BROKEN"), lines[-1]


def hunt() -> int:
    """Soak every mutant. Return an exit status: whether one was not found."""
    found, line = find(Mutant("nothing is broken", (), BY))
    if found:
        print(f"The library itself breaks a promise: {line}")
        return 1
    survivors = 0
    for mutant in LISTED:
        began = time.monotonic()
        found, line = find(mutant)
        survivors += not found
        told = line if found else f"SURVIVES: {line}"
        print(f"{mutant.name:62}{time.monotonic() - began:5.1f} s  {told[:150]}", flush=True)
    print(f"\n{len(LISTED) - survivors} of {len(LISTED)} mutants were found")
    return bool(survivors)
