"""The surface, broken on purpose: each break has to change what the judges say about the cases.

A mutant that not every checker catches names those that do, and tells why the others can't.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.typing.judges import JUDGES, Broken, Stage

__all__ = ["MUTANTS", "Mutant", "break_"]

ALL: Final = tuple(JUDGES)


@dataclass(frozen=True, slots=True)
class Mutant:
    what: str
    file: str
    old: str
    new: str
    # What the new code needs, put where every module has a line of its own.
    imports: str = ""
    caught_by: tuple[str, ...] = ALL


IMPORTS: Final = "from __future__ import annotations\n"
ANY: Final = "from typing import Any\n"
AWAITABLE: Final = "from collections.abc import Awaitable\n"
ITERATOR: Final = "from collections.abc import AsyncIterator\n"
PRODUCERS: Final = """\
from collections.abc import Callable
from typing import Concatenate
from ._producer import Production
from .protocols import Itemizer
"""

CALL: Final = "async def __call__(self, item: T_contra, /) -> None:"
CONTRAVARIANT: Final = 'T_contra = TypeVar("T_contra", contravariant=True)'
COVARIANT: Final = 'T_co = TypeVar("T_co", covariant=True)'
INVARIANT: Final = 'T = TypeVar("T")'
# How the signature of an `__aexit__` ends.
LEAVING: Final = "traceback: TracebackType | None,\n        /,\n    ) -> "
PROPERTY: Final = "    @property\n    def sender"
GETATTR: Final = "    def __getattr__(self, name: str) -> Any: ...\n\n"
BUFFER: Final = "self, *, buffer: int = 0"
PRODUCER: Final = "Producer: TypeAlias = Callable[Concatenate[Itemizer[T], P], Production]"
ARGUMENTS: Final = "func: Producer[T, P], /, *args: P.args, **kwargs: P.kwargs"
LOOSE: Final = "func: Callable[Concatenate[Itemizer[T], ...], Production], /, *args: object, **kwargs: object"
FED_BY: Final = f"def fed_by(self, {ARGUMENTS}) -> Feed[T]:"
STREAM: Final = f"def stream({ARGUMENTS}) -> AsyncGenerator[T, None]:"


def setter(name: str) -> str:
    return f"        return self._{name}\n\n    @{name}.setter\n    def {name}(self, end: {name.capitalize()}[T]) -> None: ...\n"


MUTANTS: Final = (
    # The itemizer.
    Mutant("an itemizer takes Any", "protocols.py", CALL, CALL.replace("T_contra", "Any"), ANY),
    Mutant("an itemizer returns an Awaitable", "protocols.py", CALL, CALL[6:].replace("None", "Awaitable[None]"), AWAITABLE),
    Mutant("an itemizer has a result", "protocols.py", CALL, CALL.replace("None", "object")),
    Mutant("the item may be passed by name", "protocols.py", CALL, CALL.replace(", /", "")),
    Mutant("an itemizer takes any number of items", "protocols.py", CALL, CALL.replace("item", "*item").replace(", /", "")),
    # ty reads the variance of a protocol from its methods, whatever is declared.
    Mutant(
        "the protocols are invariant",
        "protocols.py",
        CONTRAVARIANT,
        'T_contra = TypeVar("T_contra")',
        caught_by=("mypy", "pyright", "pyrefly"),
    ),
    # The context.
    Mutant("a context may end early, so no fake fits", "protocols.py", f"{LEAVING}bool | None:", f"{LEAVING}bool:"),
    Mutant("a context never ends early, so no sender fits", "protocols.py", f"{LEAVING}bool | None:", f"{LEAVING}None:"),
    Mutant("a context gives Any", "protocols.py", "__aenter__(self) -> Itemizer[T_contra]:", "__aenter__(self) -> Any:", ANY),
    # The sender.
    Mutant("a sender never ends its block early", "sender.py", f"{LEAVING}bool:", f"{LEAVING}None:"),
    Mutant("a sender ends its block as a context does", "sender.py", f"{LEAVING}bool:", f"{LEAVING}bool | None:"),
    Mutant("a sender is invariant", "sender.py", CONTRAVARIANT, 'T_contra = TypeVar("T_contra")'),
    Mutant("a sender gives an itemizer of Any", "sender.py", "-> Itemizer[T_contra]:", "-> Itemizer[Any]:", ANY),
    Mutant("a sender is not final", "sender.py", "@final\n", ""),
    # The receiver.
    Mutant("a receiver is invariant", "receiver.py", COVARIANT, 'T_co = TypeVar("T_co")'),
    Mutant("a receiver yields Any", "receiver.py", "__anext__(self) -> T_co:", "__anext__(self) -> Any:", ANY),
    Mutant("a receiver iterates as another", "receiver.py", "__aiter__(self) -> Self:", "__aiter__(self) -> AsyncIterator[T_co]:"),
    # mypy is told to report a forgotten await of whatever kind.
    Mutant(
        "a receiver closes by an Awaitable",
        "receiver.py",
        "async def aclose(self) -> None:",
        "def aclose(self) -> Awaitable[None]:",
        AWAITABLE,
        caught_by=("pyright", "ty", "pyrefly"),
    ),
    Mutant("a receiver ends its block early", "receiver.py", f"{LEAVING}None:", f"{LEAVING}bool:"),
    Mutant("a receiver is not final", "receiver.py", "@final\n", ""),
    # The channel.
    Mutant("a channel is covariant", "channel.py", INVARIANT, 'T = TypeVar("T", covariant=True)'),
    Mutant("a channel is contravariant", "channel.py", INVARIANT, 'T = TypeVar("T", contravariant=True)'),
    Mutant("the sender is writable", "channel.py", "        return self._sender\n", setter("sender")),
    Mutant("the receiver is writable", "channel.py", "        return self._receiver\n", setter("receiver")),
    Mutant(
        "the receiver is one of Any",
        "channel.py",
        "def receiver(self) -> Receiver[T]:",
        "def receiver(self) -> Receiver[Any]:",
        ANY,
    ),
    Mutant("a channel is not final", "channel.py", "@final\n", ""),
    Mutant("a channel has any attribute", "channel.py", PROPERTY, GETATTR + PROPERTY, ANY),
    Mutant("the buffer is positional", "channel.py", BUFFER, BUFFER.replace(" *,", "")),
    Mutant("the buffer is anything", "channel.py", BUFFER, BUFFER.replace("int", "object")),
    # Producers.
    Mutant("a producer takes any itemizer", "_producer.py", PRODUCER, PRODUCER.replace("Itemizer[T]", "Itemizer[Any]"), ANY),
    Mutant(
        "a producer has a result", "_producer.py", PRODUCER, PRODUCER.replace("Production]", "Coroutine[object, None, object]]")
    ),
    Mutant(
        "a producer returns an Awaitable", "_producer.py", PRODUCER, PRODUCER.replace("Production]", "Awaitable[None]]"), AWAITABLE
    ),
    Mutant("fed_by has lost its ParamSpec", "channel.py", FED_BY, FED_BY.replace(ARGUMENTS, LOOSE), PRODUCERS),
    Mutant("fed_by gives a receiver of Any", "channel.py", FED_BY, FED_BY.replace("Feed[T]", "Feed[Any]"), ANY),
    Mutant("the block of fed_by ends early", "_feed.py", f"{LEAVING}None:", f"{LEAVING}bool:"),
    Mutant(
        "fed_by gives an iterator",
        "_feed.py",
        "__aenter__(self) -> Receiver[T]:",
        "__aenter__(self) -> AsyncIterator[T]:",
        ITERATOR,
    ),
    Mutant("stream has lost its ParamSpec", "stream.py", STREAM, STREAM.replace(ARGUMENTS, LOOSE), PRODUCERS),
    Mutant("stream gives Any", "stream.py", STREAM, STREAM.replace("AsyncGenerator[T, None]", "AsyncGenerator[Any, None]"), ANY),
    Mutant(
        "stream gives an iterator", "stream.py", STREAM, STREAM.replace("AsyncGenerator[T, None]", "AsyncIterator[T]"), ITERATOR
    ),
    Mutant("func may be passed by name", "stream.py", STREAM, STREAM.replace(" /,", "")),
    # Errors.
    Mutant("SenderFailed is no ChannelError", "errors.py", "class SenderFailed(ChannelError):", "class SenderFailed(Exception):"),
    Mutant(
        "SenderClosed is a ReceiverClosed", "errors.py", "class SenderClosed(ChannelError):", "class SenderClosed(ReceiverClosed):"
    ),
)


def break_(stage: Stage, mutant: Mutant) -> None:
    """Apply `mutant` to the library of the stage."""
    path = Path(stage.root, "src", "chanstream", mutant.file)
    source = path.read_text(encoding="utf-8")
    for old, new in ((mutant.old, mutant.new), (IMPORTS, IMPORTS + mutant.imports)):
        if source.count(old) != 1:
            message = f"the mutant {mutant.what!r} finds {old!r} {source.count(old)} times in {mutant.file}"
            raise Broken(message)
        source = source.replace(old, new)
    path.write_text(source, encoding="utf-8")
