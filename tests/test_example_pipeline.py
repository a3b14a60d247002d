"""The stages of the pipeline, each by itself, with nothing but generators to read from and lists to write to; then the program."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.examples.pipeline import Hashed, Pair, digest, find, main, pair
from tests.test_examples import EXAMPLES, run

T = TypeVar("T")


class Collected(list[T]):
    """An itemizer without a channel: a list of what was passed to it."""

    async def __call__(self, item: T, /) -> None:
        self.append(item)


async def each_of(*items: T) -> AsyncIterator[T]:
    for item in items:
        yield item


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"a/one": "x", "a/two": "y", "b/deep/three": "x", "four": "x", "five": ""}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    tmp_path.joinpath("link").symlink_to("four")
    return tmp_path


async def test_files_are_paired_with_the_first_one_that_is_the_same() -> None:
    hashes = [Hashed(Path(name), digest) for name, digest in [("a", "1"), ("b", "2"), ("c", "1"), ("d", "1"), ("e", "2")]]
    pairs = Collected[Pair]()
    await pair(pairs, each_of(*hashes))
    assert pairs == [Pair(Path("c"), Path("a")), Pair(Path("d"), Path("a")), Pair(Path("e"), Path("b"))]


async def test_files_are_found_in_order_at_any_depth(folder: Path) -> None:
    files, skipped = Collected[Path](), Collected[OSError]()
    await find(files, skipped, folder)
    assert [path.relative_to(folder).as_posix() for path in files] == ["a/one", "a/two", "b/deep/three", "five", "four"]
    assert not skipped


async def test_a_folder_that_cannot_be_read_is_skipped(folder: Path) -> None:
    files, skipped = Collected[Path](), Collected[OSError]()
    await find(files, skipped, folder / "missing")
    assert not files
    assert [error.filename for error in skipped] == [str(folder / "missing")]


async def test_a_file_that_cannot_be_read_is_skipped(folder: Path) -> None:
    hashes, skipped = Collected[Hashed](), Collected[OSError]()
    await digest(hashes, skipped, each_of(folder / "missing", folder / "five"))
    assert hashes == [Hashed(folder / "five", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    assert [error.filename for error in skipped] == [str(folder / "missing")]


async def test_what_was_skipped_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await main(folder / "missing")
    output, errors = capsys.readouterr()
    assert not output
    assert errors.startswith("skipped: ")
    assert errors.count("\n") == 1


async def test_a_stage_that_fails_ends_the_pipeline_with_its_own_error(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Rule 17: the error of the middle stage leaves all blocks as itself, once."""

    def fail(path: Path) -> str:
        raise RuntimeError(path.name)

    monkeypatch.setattr("tests.examples.pipeline.hash_file", fail)
    with pytest.raises(RuntimeError, match=r"^one$"):
        await main(folder)


@pytest.mark.slow
def test_the_program_prints_what_is_the_same(folder: Path) -> None:
    """Rule 17: blocks nest into a pipeline."""
    pairs = [(Path("b/deep/three"), Path("a/one")), (Path("four"), Path("a/one"))]
    said = run("-X", "dev", "-W", "error", EXAMPLES / "pipeline.py", folder)
    assert said.splitlines() == [f"{path} is the same as {original}" for path, original in pairs]
