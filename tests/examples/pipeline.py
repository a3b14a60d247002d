"""Files that are the same, found by a pipeline of typed stages: find files, hash them, pair them.

Run it on a folder::

    python tests/examples/pipeline.py ~/Pictures

A stage reads an `AsyncIterable[A]` and writes to an `Itemizer[B]`. It knows nothing of channels, so a test of it needs an async
callback that collects, and nothing else. An itemizer is passed on to any coroutine that writes: `find` calls itself with it. A
stage may have several, as those here have that skip what they can't read.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from asyncio import to_thread
from collections.abc import AsyncIterable
from dataclasses import dataclass
from pathlib import Path

from chanstream import Channel, Itemizer


@dataclass(frozen=True, slots=True)
class Hashed:
    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class Pair:
    path: Path
    original: Path


def list_folder(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.is_symlink())


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def find(files: Itemizer[Path], skipped: Itemizer[OSError], folder: Path) -> None:
    try:
        paths = await to_thread(list_folder, folder)
    except OSError as error:
        await skipped(error)
        return
    for path in paths:
        if path.is_dir():
            await find(files, skipped, path)
        elif path.is_file():
            await files(path)


async def digest(hashes: Itemizer[Hashed], skipped: Itemizer[OSError], files: AsyncIterable[Path]) -> None:
    async for path in files:
        try:
            hashed = Hashed(path, await to_thread(hash_file, path))
        except OSError as error:
            await skipped(error)
        else:
            await hashes(hashed)


async def pair(pairs: Itemizer[Pair], hashes: AsyncIterable[Hashed]) -> None:
    originals: dict[str, Path] = {}
    async for each in hashes:
        if original := originals.get(each.digest):
            await pairs(Pair(each.path, original))
        else:
            originals[each.digest] = each.path


async def main(folder: Path) -> None:
    async def skipped(error: OSError) -> None:
        print("skipped:", error, file=sys.stderr)

    async with (
        Channel[Path](buffer=100).fed_by(find, skipped, folder) as files,
        Channel[Hashed](buffer=100).fed_by(digest, skipped, files) as hashes,
        Channel[Pair](buffer=100).fed_by(pair, hashes) as pairs,
    ):
        async for each in pairs:
            print(each.path.relative_to(folder), "is the same as", each.original.relative_to(folder))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
