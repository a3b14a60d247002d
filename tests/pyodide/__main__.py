"""``python -m tests.pyodide WHEEL`` installs the wheel in Pyodide, under node, and runs the quickstart and `checks` there.

Needs node and npm, which fetches the version of Pyodide that package.json names.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = HERE.parent / "examples/quickstart.py", HERE / "checks.py"


def main() -> None:
    (wheel,) = sys.argv[1:]
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        sys.exit("no node or no npm here")
    with tempfile.TemporaryDirectory() as directory:
        shutil.copy(HERE / "package.json", directory)
        subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund"], cwd=directory, check=True)
        pyodide = Path(directory, "node_modules/pyodide")
        done = subprocess.run(
            [node, HERE / "run.mjs", pyodide, wheel, *PROGRAMS], stdout=subprocess.PIPE, text=True, timeout=300, check=False
        )
        print(done.stdout, end="")
    # The last line of checks.py: without it, they may not have run at all.
    if done.returncode or "One\nHello\nWorld\n" not in done.stdout or not done.stdout.endswith(" checks, all kept\n"):
        sys.exit("chanstream does not work in Pyodide")


if __name__ == "__main__":
    main()
