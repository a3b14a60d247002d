"""``python tests/distributions.py FILE...`` checks what was built: the wheel holds the package only, the sdist the tests too."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src"
PACKAGE = {
    path.relative_to(SOURCE).as_posix()
    for path in SOURCE.rglob("chanstream/**/[!.]*")
    if path.is_file() and path.parent.name != "__pycache__"
}


def problems(distribution: Path) -> list[str]:
    if distribution.suffix == ".whl":
        with zipfile.ZipFile(distribution) as wheel:
            files = {name for name in wheel.namelist() if ".dist-info/" not in name}
        return [f"{name} is in the wheel or in the package, but not in both" for name in sorted(files ^ PACKAGE)]
    with tarfile.open(distribution) as sdist:
        files = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = {f"src/{name}" for name in PACKAGE} | {
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "pyproject.toml",
        "mypy.ini",
        "tests/conftest.py",
        "tests/CONTRACT.md",
        ".github/CONTRIBUTING.md",
    }
    return [f"{name} is missing in the sdist" for name in sorted(wanted - files)]


def main() -> None:
    found = [problem for name in sys.argv[1:] for problem in problems(Path(name))]
    print("\n".join(found) or f"{len(sys.argv) - 1} distributions hold what they should")
    sys.exit(bool(found) or len(sys.argv) < 2)


if __name__ == "__main__":
    main()
