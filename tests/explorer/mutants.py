"""The library broken on purpose, one mistake at a time. The explorer has to find each.

A mutant is the text of a few lines and what stands there instead. It is applied to a copy of the source, and a process of its own
explores that copy. A text that is not in the source is an error: the mutant has to follow the code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import chanstream

__all__ = ["MUTANTS", "Mutant", "find", "hunt"]

SOURCE: Final = Path(chanstream.__file__).parent
PROJECT: Final = Path(__file__).parents[2]

BUDGET: Final = 50_000
"""Schedules for one mutant: the part of a run in continuous integration that is left to chance."""

PATIENCE: Final = 180
"""Seconds for one mutant."""


@dataclass(frozen=True)
class Change:
    """In a module, `old` becomes `new`. It stands there once."""

    module: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    name: str
    changes: tuple[Change, ...]


def core(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, (Change("_core.py", old, new),))


def sending_midstream(name: str, old: str, new: str) -> Mutant:
    line = "            if items and len(items) < home.buffer and home.flows and home.first_offer is None:\n"
    return Mutant(name, (Change("sender.py", line, line.replace(old, new)),))


def receiving_midstream(name: str, old: str, new: str) -> Mutant:
    line = "        if items and len(items) < home.buffer and home.first_ask is None:\n"
    return Mutant(name, (Change("receiver.py", line, line.replace(old, new)),))


MUTANTS: Final = (
    # Wake-ups.
    core(
        "a cancelled ask wakes nobody in its place",
        "        self._wake_ask()\n        if self.first_ask is None and",
        "        if self.first_ask is None and",
    ),
    core(
        "who takes an item wakes nobody for the next",
        "                self._release()\n                self._wake_ask()\n",
        "                self._release()\n",
    ),
    core(
        "an accepted item wakes nobody",
        "            if ask is not None:\n                ask.wake()\n        return True\n",
        "        return True\n",
    ),
    core(
        "an offer wakes nobody",
        "        if ask is not None and ask.asleep:  # who is not needs no call\n            ask.wake()\n",
        "",
    ),
    core(
        "who finds room wakes nobody for the rest of it",
        "        self._wake_offer()\n        return True\n",
        "        return True\n",
    ),
    core(
        "a slot is not given on after a withdrawal",
        "            del offer.item\n            self._wake_offer()\n\n",
        "            del offer.item\n\n",
    ),
    core(
        "room in the buffer wakes nobody",
        "                offer.wake()\n            return items.popleft()\n",
        "                pass\n            return items.popleft()\n",
    ),
    core(
        "who takes an item from its itemizer wakes nobody for the room",
        "        offer.done = True\n        offer.wake()\n        self._wake_offer()\n        return item\n",
        "        offer.done = True\n        offer.wake()\n        return item\n",
    ),
    core(
        "an ask does not wake the itemizer that it releases",
        "            if held.asleep:\n                held.wake()\n",
        "",
    ),
    core("the end wakes no ask", "            for ask in self.asks:\n                ask.wake()\n", "            pass\n"),
    core(
        "a close wakes no waiting offer",
        "                    del offer.item\n                    offer.wake()\n",
        "                    del offer.item\n",
    ),
    core("a close wakes no held itemizer", "            if held is not None:\n                held.wake()\n", ""),
    # Delivery.
    Mutant(
        "an item is handed over at the wake-up",
        (
            Change(
                "_core.py",
                "            if ask is not None:\n                ask.wake()\n        return True\n",
                "            if ask is not None:\n"
                "                ask.item = items.popleft()\n"
                "                ask.done = True\n"
                "                self.first_ask = without(ask, self.first_ask, self.later_asks)\n"
                "                ask.wake()\n"
                "        return True\n",
            ),
            Change(
                "_core.py",
                "        offer = self.first_offer\n        if offer is None and",
                "        offer = self.first_offer\n"
                "        if ask is not None and ask.done:\n"
                "            ask.done = False\n"
                "            item = ask.item\n"
                "            del ask.item\n"
                "            return item\n"
                "        if offer is None and",
            ),
            Change(
                "_core.py",
                '        """Leave the line without an item."""\n',
                '        """Leave the line without an item."""\n        if ask.done:\n            return\n',
            ),
        ),
    ),
    core(
        "a cancelled itemize withdraws nothing",
        "            self.first_offer = without(offer, self.first_offer, self.later_offers)\n"
        "            del offer.item\n            self._wake_offer()\n\n",
        "            pass\n\n",
    ),
    core(
        "an itemizer is released when its item is taken",
        "            self.held = offer\n",
        "            offer.done = True\n            offer.wake()\n",
    ),
    core(
        "an ask does not release the itemizer of the last item",
        "        if held is not None:  # `_release` without the calls: every item in lock-step comes by here\n",
        "        if held is not None and False:\n",
    ),
    core(
        "an ask that finds an item does not release the itemizer of the last one",
        "            if self.held is not None:\n                self._release()\n            self.held = offer\n",
        "            self.held = offer\n",
    ),
    core(
        "an ask that waits already releases nobody",
        "                self._release()\n                self._wake_ask()\n",
        "                self._wake_ask()\n",
    ),
    core(
        "the end does not release the itemizer of the last item",
        "        self._release()\n        if ask is not None:\n            self.leave(ask)\n",
        "        if ask is not None:\n            self.leave(ask)\n",
    ),
    core(
        "an item taken from its itemizer does not release it, buffered",
        "        offer.done = True\n        offer.wake()\n        self._wake_offer()\n",
        "        self._wake_offer()\n",
    ),
    core(
        "the buffer takes one too many",
        "        if items is None or len(items) >= self.buffer or self.first_offer is not None:\n",
        "        if items is None or len(items) > self.buffer or self.first_offer is not None:\n",
    ),
    core(
        "a new item passes those that wait",
        "        if items is None or len(items) >= self.buffer or self.first_offer is not None:\n",
        "        if items is None or len(items) >= self.buffer:\n",
    ),
    # Order of service.
    Mutant(
        "a line is joined before the others that stand behind the first",
        (
            Change(
                "_line.py", "    behind[ticket] = None\n", "    behind[ticket] = None\n    behind.move_to_end(ticket, last=False)\n"
            ),
        ),
    ),
    core(
        "a new ask passes those that wait, buffered",
        "        if self.first_ask is not ask:\n",
        "        if (ask is not None or self.items is None) and self.first_ask is not ask:\n",
    ),
    core(
        "a new ask passes those that wait, in lock-step",
        "        if self.first_ask is not ask:\n",
        "        if (ask is not None or self.items is not None) and self.first_ask is not ask:\n",
    ),
    core(
        "asks are served in any order, buffered",
        "        if self.first_ask is not ask:\n",
        "        if self.items is None and self.first_ask is not ask:\n",
    ),
    core(
        "asks are served in any order, in lock-step",
        "        if self.first_ask is not ask:\n",
        "        if self.items is not None and self.first_ask is not ask:\n",
    ),
    core(
        "who takes the first offer takes the rest of the line away",
        "            self.first_offer = without(offer, offer, others) if others else None\n",
        "            self.first_offer = None\n",
    ),
    core(
        "an ask does not look before it stands in line",
        "        if self.items or self.first_offer is not None or not self.flows:\n            item = self.take(None)",
        "        if False:\n            item = self.take(None)",
    ),
    core(
        "an ask does not look for an item before it stands in line",
        "        if self.items or self.first_offer is not None or not self.flows:\n            item = self.take(None)",
        "        if not self.flows:\n            item = self.take(None)",
    ),
    core(
        "an ask does not look for the end before it stands in line",
        "        if self.items or self.first_offer is not None or not self.flows:\n            item = self.take(None)",
        "        if self.items or self.first_offer is not None:\n            item = self.take(None)",
    ),
    Mutant(
        "a cancelled ask stays in line",
        (Change("receiver.py", "                home.leave(ask)\n                raise\n", "                raise\n"),),
    ),
    Mutant(
        "a ticket is used again as it was left",
        (
            Change(
                "sender.py", "            self._spare = None\n            offer.done = False\n", "            self._spare = None\n"
            ),
        ),
    ),
    Mutant(
        "two asks share one ticket",
        (
            Change(
                "receiver.py",
                "            self._spare = None\n            item = home.ask(ask)\n",
                "            item = home.ask(ask)\n",
            ),
        ),
    ),
    # Midstream, the two short cuts.
    sending_midstream("an empty buffer counts as midstream, sending", "items and len", "len"),
    sending_midstream("a full buffer counts as midstream, sending", "< home.buffer", "<= home.buffer"),
    sending_midstream("midstream, an item is accepted after the end", " and home.flows", ""),
    sending_midstream("midstream, a new item passes those that wait", " and home.first_offer is None", ""),
    receiving_midstream("an empty buffer counts as midstream, receiving", "items and len", "items is not None and len"),
    receiving_midstream("a full buffer counts as midstream, receiving", "< home.buffer", "<= home.buffer"),
    receiving_midstream("midstream, a new ask passes those that wait", " and home.first_ask is None", ""),
    # Endings.
    core(
        "the end comes before what was sent",
        "        offer = self.first_offer\n        if offer is None and",
        "        offer = self.first_offer\n        if self.over:\n            return END\n        if offer is None and",
    ),
    core(
        "an error of the block looks like its end",
        "            self.error = error\n            self.sending = FAILED\n",
        "            self.sending = FINISHED\n",
    ),
    core(
        "only the first ask learns of the failure",
        "        if error is not None:\n            return errors.sender_failed(repr(self), error)\n",
        "        if error is not None:\n            self.sending = FINISHED\n"
        "            return errors.sender_failed(repr(self), error)\n",
    ),
    core(
        "an itemizer works after its block",
        "        if not self.flows:\n            raise self.refusal()\n        if self.first_offer",
        "        if self.receiving is not RECEIVING:\n            raise self.refusal()\n        if self.first_offer",
    ),
    core(
        "a sender is opened twice",
        "        if self.sending is not UNOPENED:\n            raise errors.opened_twice(repr(self))\n",
        "",
    ),
    core(
        "a closed channel keeps the error",
        "            if self.first_ask is None:\n                self.error = None\n            if self.items",
        "            if self.items",
    ),
    core(
        "a close keeps what was sent",
        "            if self.items:\n                self.items.clear()\n            # First",
        "            # First",
    ),
    core(
        "itemize goes on after a close",
        "        if self.receiving is not RECEIVING:\n            raise errors.receiver_closed(repr(self), self)\n"
        "        if offer.done:\n",
        "        if offer.done or self.receiving is not RECEIVING:\n",
    ),
    Mutant(
        "itemize goes on after a close that comes after the item was asked for",
        (Change("sender.py", "(offer.done and home.flows)", "offer.done"),),
    ),
    core(
        "a block does not end quietly",
        "        return error is not None and errors.is_closing(error, self)\n",
        "        return False\n",
    ),
    Mutant(
        "a foreign ReceiverClosed is swallowed",
        (
            Change(
                "errors.py",
                "    return isinstance(error, ReceiverClosed) and error._source is source\n",
                "    return isinstance(error, ReceiverClosed)\n",
            ),
        ),
    ),
    core(
        "a channel that nobody has opened looks ended",
        "            return WAIT if self.flows or not self.over else END\n",
        "            return WAIT if self.flows else END\n",
    ),
    core(
        "what flows goes on after its block",
        "            self.sending = FAILED\n        self.flows = False\n",
        "            self.sending = FAILED\n",
    ),
    core(
        "what flows goes on after a close",
        "        self.receiving = CLOSED\n        self.flows = False\n        self.settle()\n",
        "        self.receiving = CLOSED\n        self.settle()\n",
    ),
    core(
        "a sender opened after a close flows",
        "        if self.receiving is not RECEIVING:  # asked last, since a finalizer may come in between\n"
        "            self.flows = False\n",
        "",
    ),
    # Dropped ends.
    Mutant(
        "a dropped receiver tells nobody",
        (
            Change(
                "receiver.py",
                "            home.tell(home.settle)\n        if complaint",
                "            pass\n        if complaint",
            ),
        ),
    ),
    Mutant(
        "a dropped sender tells nobody",
        (
            Change(
                "sender.py",
                "        home.drop_sender()\n        if home.loop is not NOWHERE:",
                "        home.drop_sender()\n        if False:",
            ),
        ),
    ),
    core(
        "an abandoned block goes unnoticed",
        "            self.sending = ABANDONED\n",
        "            pass\n",
    ),
    core(
        "an abandoned block looks like an end",
        "            self.sending = ABANDONED\n",
        "            self.sending = FINISHED\n",
    ),
    core(
        "what flows goes on in an abandoned block",
        "            self.sending = ABANDONED\n            self.flows = False\n",
        "            self.sending = ABANDONED\n",
    ),
    core(
        "a sender that nobody opened goes unnoticed",
        "            self.sending = NEVER_OPENED\n",
        "            pass\n",
    ),
    core(
        "a sender that is dropped after a close breaks the stream",
        "        if self.receiving is not RECEIVING:\n            return\n        if self.sending is UNOPENED:",
        "        if self.sending is UNOPENED:",
    ),
    # Waiting.
    Mutant(
        "a future is told twice",
        (Change("_waiting.py", "        if self.asleep and not self.future.done():", "        if self.asleep:"),),
    ),
    Mutant("who is parked is not asleep", (Change("_waiting.py", "    waiter.asleep = True\n", ""),)),
    Mutant("who was woken stays asleep", (Change("_waiting.py", "        waiter.asleep = False\n        del", "        del"),)),
    Mutant(
        "what comes during the first turn of an ask goes unnoticed",
        (
            Change(
                "receiver.py",
                "                await turn(ask.pace)\n                while",
                "                await turn(ask.pace)\n                await park(ask)\n                while",
            ),
        ),
    ),
    Mutant(
        "what comes during the first turn of an itemize goes unnoticed",
        (
            Change(
                "sender.py",
                "            await turn(offer.pace)\n",
                "            await turn(offer.pace)\n            await park(offer)\n",
            ),
        ),
    ),
    # fed_by and stream.
    Mutant(
        "fed_by does not wait for its task", (Change("_feed.py", "        while not task.done():\n", "        while False:\n"),)
    ),
    Mutant(
        "fed_by does not cancel its task",
        (
            Change(
                "_feed.py",
                "            refusal = refused\n        task.cancel()\n",
                "            refusal = refused\n",
            ),
        ),
    ),
    Mutant(
        "fed_by forgets the error of its producer",
        (
            Change(
                "_feed.py",
                "            error = met = task.exception()\n",
                "            met = task.exception()\n            error = None\n",
            ),
        ),
    ),
    Mutant(
        "fed_by surfaces an error twice",
        (Change("_feed.py", "exc if failed else None", "exc"),),
    ),
    Mutant(
        "fed_by does not notice a task that never started",
        (Change("_feed.py", "        if task.cancelled():\n            # Perhaps", "        if False:\n            # Perhaps"),),
    ),
    Mutant(
        "fed_by swallows a cancellation",
        (Change("_feed.py", "                interruption = cancellation\n", "                pass\n"),),
    ),
    Mutant(
        "fed_by replaces a cancellation",
        (Change("_feed.py", "elif met is not None and not stopped:", "elif met is not None:"),),
    ),
    Mutant("a stream repeats itself", (Change("stream.py", "items.pop()", "items[0]"),)),
)


class MissingTextError(Exception):
    """A mutant doesn't fit the source any more."""


def apply(mutant: Mutant, directory: Path) -> None:
    """Copy the source into `directory`, and break it."""
    package = directory / "chanstream"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for change in mutant.changes:
        module = package / change.module
        text = module.read_text()
        if text.count(change.old) != 1:
            message = f"{mutant.name!r}: {text.count(change.old)} times in {change.module}:\n{change.old}"
            raise MissingTextError(message)
        module.write_text(text.replace(change.old, change.new))


def explore(source: Path, *arguments: str) -> tuple[int, str]:
    """The exit status and the last line of an explorer that runs on `source`. A mutant that hangs is found, too."""
    # What is measured is the library, not a broken copy of it.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    environment = inherited | {"PYTHONPATH": f"{source}{os.pathsep}{PROJECT}", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.explorer", "--first", *arguments],
            env=environment,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"it hangs, or is not found in {PATIENCE} seconds"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode, lines[-1] if lines else ""


def find(mutant: Mutant, seed: int) -> tuple[bool, str]:
    """Whether the explorer finds `mutant`, and what it says."""
    with tempfile.TemporaryDirectory(prefix="mutant") as directory:
        apply(mutant, Path(directory))
        status, line = explore(Path(directory), "--chance", "--schedules", str(BUDGET), "--seed", str(seed))
    return status == 1 and "is broken, after" in line, line


def hunt(seed: int) -> int:
    """Explore every mutant. The exit status says whether each was found."""
    survivors: list[str] = []
    found, line = find(Mutant("nothing is broken", ()), seed)
    if found:
        print(f"The library itself breaks a promise: {line}")
        return 1
    for mutant in MUTANTS:
        began = time.monotonic()
        found, line = find(mutant, seed)
        if not found:
            survivors.append(mutant.name)
            line = f"SURVIVES: {line}"
        print(f"{mutant.name:72}{time.monotonic() - began:5.1f} s  {line}", flush=True)
    print(f"\n{len(MUTANTS) - len(survivors)} of {len(MUTANTS)} mutants were found")
    return bool(survivors)
