"""The library broken on purpose, as the explorer does it. A short soak has to find each break.

Most are of the kind that only much of something shows: leaks, finalizers in another thread, places in long lines.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.explorer.mutants import MUTANTS, PROJECT, Change, MissingTextError, Mutant, apply

__all__ = ["LISTED", "find", "hunt"]

SHORT: Final = ("--items", "60000", "--crowd", "200", "--stages", "30", "--seed", "1", "--seconds", "10", "--first")

LOOPS: Final = "asyncio,debug"
"""In debug mode an event loop minds being called from another thread."""

PATIENCE: Final = 180
"""Seconds for one mutant."""


def change(name: str, module: str, *texts: tuple[str, str]) -> Mutant:
    return Mutant(name, tuple(Change(module, old, new) for old, new in texts))


def kept(name: str, module: str, after: str, what: str) -> Mutant:
    """In `module`, after the lines `after`, one more reference to `what` is kept for ever."""
    last = after.splitlines()[-1]
    indent = " " * (len(last) - len(last.lstrip()))
    start = "from __future__ import annotations\n"
    return change(name, module, (start, f"{start}KEPT: list[object] = []\n"), (after, f"{after}{indent}KEPT.append({what})\n"))


LEAKS: Final = (
    kept("an item that waited is kept", "sender.py", "        offer.item = item\n", "item"),
    kept("an item in the buffer is kept", "_core.py", "            raise self.refusal()\n        items.append(item)\n", "item"),
    kept(
        "an item that goes by midstream is kept",
        "sender.py",
        "                items.append(item)  # midstream, see _core\n",
        "item",
    ),
    kept("a list grows by a pointer for every item", "stream.py", "        self.items.append(item)\n", "None"),
    kept("the future of a wait is kept", "_waiting.py", "            self.future.set_result(None)\n", "self.future"),
    kept("the state of a channel is kept", "channel.py", "        self._receiver = Receiver(home)\n", "home"),
    kept("the place of a cancelled ask is kept", "receiver.py", "                home.leave(ask)\n", "ask"),
    kept("the place of a cancelled itemize is kept", "sender.py", "            home.withdraw(offer)\n", "offer"),
    kept("the task of a block is kept", "_feed.py", "        self._task.add_done_callback(self._ran)\n", "self._task"),
)

THREADS: Final = (
    change(
        "a finalizer calls the event loop from its own thread",
        "_waiting.py",
        ("self.loop.call_soon_threadsafe(message)", "self.loop.call_soon(message)"),
    ),
    change(
        "a finalizer draws the consequences in its own thread",
        "sender.py",
        ("has ever waited\n            home.tell(home.settle)\n", "has ever waited\n            home.settle()\n"),
    ),
    change(
        "a sender block can't be closed in another thread",
        "_waiting.py",
        ("        if error is not None and self.is_elsewhere():\n", "        if False:\n"),
    ),
    change(
        "a receiver that is dropped is not closed",
        "_core.py",
        ("        self.receiving = CLOSED\n        self.flows = False\n        self.error = None\n", "        self.error = None\n"),
    ),
)

CROWDS: Final = (
    change("the last in line is served next", "_line.py", ("behind.popitem(last=False)", "behind.popitem()")),
    change(
        "two who wait share one place",
        "sender.py",
        ("            self._spare = None\n            offer.done = False\n", "            offer.done = False\n"),
    ),
    change("a close tells only the first who waits", "_core.py", ("for offer in offers:", "for offer in [*offers][:1]:")),
)

SHARED: Final = (
    "a cancelled ask wakes nobody in its place",
    "a slot is not given on after a withdrawal",
    "an item is handed over at the wake-up",
    "a cancelled itemize withdraws nothing",
    "an itemizer is released when its item is taken",
    "the buffer takes one too many",
    "a new item passes those that wait",
    "a cancelled ask stays in line",
    "the end comes before what was sent",
    "only the first ask learns of the failure",
    "a close keeps what was sent",
    "fed_by does not wait for its task",
    "fed_by does not cancel its task",
    "a stream repeats itself",
)

LISTED: Final = (*LEAKS, *THREADS, *CROWDS, *(mutant for mutant in MUTANTS if mutant.name in SHARED))


def find(mutant: Mutant, *arguments: str) -> tuple[bool, str]:
    """Whether a short soak finds `mutant`, and what it says."""
    with tempfile.TemporaryDirectory(prefix="mutant") as directory:
        try:
            apply(mutant, Path(directory))
        except MissingTextError as missing:
            return False, str(missing)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "CHANSTREAM"))}
        environment = inherited | {"PYTHONPATH": f"{directory}{os.pathsep}{PROJECT}", "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "tests.soak", *SHORT, "--loops", LOOPS, *arguments],
                env=environment,
                cwd=directory,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
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
    """Soak every mutant. The exit status says whether each was found."""
    unknown = set(SHARED) - {mutant.name for mutant in LISTED}
    assert not unknown, f"the explorer has no {unknown}"
    found, line = find(Mutant("nothing is broken", ()))
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
