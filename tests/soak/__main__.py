"""``python -m tests.soak``: much of everything, for long, on every event loop; exit status 1 if any promise was broken."""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import chanstream
from tests.loops import LOOPS
from tests.soak.mutants import hunt
from tests.soak.run import Row, patience, perform
from tests.soak.scenarios import SCENARIOS
from tests.soak.setting import Setting

RUNNING_FOR = 2.0
"""Seconds between two signs of life on a terminal. A log gets fewer."""


def sign_of_life(loop: str, name: str) -> Callable[[int, int], None]:
    terminal = sys.stdout.isatty()
    began = last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > (RUNNING_FOR if terminal else 15 * RUNNING_FOR):
            last = now
            line = f"  {loop} {name}: {done:,} of {total:,} after {now - began:.0f} s"
            print(f"\r{line:78}" if terminal else line, end="" if terminal else "\n", flush=True)

    return progress


def line(row: Row) -> str:
    counts = ", ".join(f"{count:,} {what}" for what, count in row.account.items())
    items = row.account.get("items")
    rate = f"{items / row.seconds:,.0f}" if items and row.seconds else ""
    start = "\r" if sys.stdout.isatty() else ""
    return f"{start}{row.loop:9}{row.name:15}{row.seconds:8.1f} s{rate:>12}  {'BROKEN' if row.broken else counts}"


def names(text: str) -> list[str]:
    """What --loops takes."""
    chosen = text.split(",")
    for name in chosen:
        if name not in LOOPS:
            message = f"{name!r} is none of the loops here: {', '.join(LOOPS)}"
            raise argparse.ArgumentTypeError(message)
    return chosen


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        message = f"{number} is not positive"
        raise argparse.ArgumentTypeError(message)
    return number


def main() -> int:
    usual = Setting()
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--items", type=count, default=usual.items, help="through each mode, a tenth in debug mode")
    parser.add_argument("--crowd", type=count, default=usual.crowd, help="of senders, receivers, channels (default: %(default)s)")
    parser.add_argument("--stages", type=count, default=usual.stages, help="of a pipeline (default: %(default)s)")
    parser.add_argument("--only", choices=SCENARIOS, action="append", metavar="NAME", help="this scenario; may be repeated")
    parser.add_argument("--loops", type=names, default=list(LOOPS), help=f"some of {','.join(LOOPS)}, which is the default")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32), help="of all that is random")
    parser.add_argument("--seconds", type=float, help="the bound for one scenario on one loop (default: far above what it takes)")
    parser.add_argument("--first", action="store_true", help="stop at the first that is broken")
    parser.add_argument("--list", action="store_true", help="tell the scenarios")
    parser.add_argument("--mutants", action="store_true", help="break the library on purpose; each break has to be found")
    options = parser.parse_args()
    if options.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name:15}{(scenario.__doc__ or '').splitlines()[0]}")
        return 0
    if sys.flags.optimize:
        parser.error("the laws are assert statements: run it without -O")
    if options.mutants:
        return hunt()
    print(f"chanstream of {Path(chanstream.__file__).parents[1]} on Python {sys.version.split()[0]}")
    print(f"{options.items:,} items, a crowd of {options.crowd:,}, {options.stages:,} stages, seed {options.seed}")
    print(f"{'loop':9}{'scenario':15}{'time':>10}{'items/s':>12}  account")
    gc.collect()
    gc.freeze()  # a collection need not look through what was imported
    began = time.monotonic()
    broken: list[Row] = []
    for loop, name in product(options.loops, options.only or SCENARIOS):
        setting = Setting(options.items, options.crowd, options.stages, options.seed, sign_of_life(loop, name))
        row = perform(loop, name, setting, options.seconds or patience(setting))
        print(line(row), flush=True)
        if row.broken:
            broken.append(row)
            if options.first:
                break
    print(f"\n{time.monotonic() - began:.0f} s")
    for row in broken:
        print(f"BROKEN: {row.loop} {row.name}: {row.broken[0]}" + (f"; and {len(row.broken) - 1} more" if row.broken[1:] else ""))
    if not broken:
        print("every promise was kept")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
