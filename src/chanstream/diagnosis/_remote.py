"""``python -m chanstream ps PID``: the report of `graph`, from outside of the program."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

__all__ = ["ps"]

PATIENCE: Final = 5.0
"""Seconds until the process has to answer."""

NUDGE: Final = 0.2
"""Seconds until a process that has not answered is nudged: an idle event loop notices nothing by itself."""

NUDGES: Final = () if sys.platform == "win32" else (signal.SIGSTOP, signal.SIGCONT)

TOO_OLD: Final = """\
python -m chanstream ps needs Python 3.14 or newer, here and in the process.
Before, have the program call chanstream.diagnosis.on_signal(signal.SIGUSR1) when it starts: `kill -USR1 PID` prints the same."""

REFUSED: Final = """\
process {pid} can't be looked at: {error}.
That takes the rights of a debugger, and the same version of Python in the process as here."""

NO_ANSWER: Final = """\
process {pid} has not answered for {seconds:.0f} seconds: its main thread runs no Python code.
An idle uvloop is such a case. There, have the program call chanstream.diagnosis.on_signal(signal.SIGUSR1) when it starts."""

SCRIPT: Final = """\
import os
try:
    from chanstream.diagnosis._report import report
    text = report()
except BaseException as error:
    text = f"the process can't look at itself: {{error!r}}"
with open({part!r}, "w", encoding="utf-8") as file:
    file.write(text)
os.replace({part!r}, {answer!r})
"""


def ps(arguments: list[str]) -> str | None:
    """Print the report of another process. Return what is wrong, or None."""
    if len(arguments) != 1 or not arguments[0].isdecimal():
        return "usage: python -m chanstream ps PID"
    return look_at(int(arguments[0]))


if sys.version_info >= (3, 14):

    def look_at(pid: int) -> str | None:
        """Have the process `pid` look at itself, and print what it sees. Return what is wrong, or None."""
        with tempfile.TemporaryDirectory() as directory:
            answer, script = Path(directory, "answer"), Path(directory, "look.py")
            script.write_text(SCRIPT.format(part=f"{answer}.part", answer=str(answer)), encoding="utf-8")
            try:
                sys.remote_exec(pid, str(script))
            except (OSError, RuntimeError) as error:
                return REFUSED.format(pid=pid, error=error)
            if not came(answer, NUDGE):
                nudge(pid)
            if not came(answer, PATIENCE):
                return NO_ANSWER.format(pid=pid, seconds=PATIENCE)
            print(answer.read_text(encoding="utf-8"))
            return None

else:

    def look_at(_pid: int) -> str | None:
        """Return that this Python can't have another process do anything."""
        return TOO_OLD


def came(answer: Path, seconds: float) -> bool:
    """Wait until there is an answer. Return whether it came in time."""
    end = time.monotonic() + seconds
    while not answer.exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def nudge(pid: int) -> None:
    """Interrupt the system call in which an idle event loop waits, by nothing that a program handles."""
    for number in NUDGES:
        os.kill(pid, number)
