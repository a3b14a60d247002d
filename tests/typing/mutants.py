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
COROUTINE: Final = "Coroutine[object, object, None]"
PRODUCERS: Final = """\
from collections.abc import Callable, Coroutine
from typing import Concatenate
from .protocols import Itemizer
"""

CALL: Final = "async def __call__(self, item: T_contra, /) -> None:"
CONTRAVARIANT: Final = 'T_contra = TypeVar("T_contra", contravariant=True)'
COVARIANT: Final = 'T_co = TypeVar("T_co", covariant=True)'
INVARIANT: Final = 'T = TypeVar("T")'
# How the signature of an `__aexit__` ends.
LEAVING: Final = "traceback: TracebackType | None,\n        /,\n    ) -> "
ENTER: Final = "async def __aenter__(self) -> Itemizer[T_contra]:"
PROPERTY: Final = "    @property\n    def sender"
GETATTR: Final = "    def __getattr__(self, name: str) -> Any: ...\n\n"
BUFFER: Final = "self, *, buffer: int = 0"
PRODUCER: Final = f"Producer: TypeAlias = Callable[Concatenate[Itemizer[T], P], {COROUTINE}]"
ARGUMENTS: Final = "func: Producer[T, P], /, *args: P.args, **kwargs: P.kwargs"
LOOSE: Final = f"func: Callable[Concatenate[Itemizer[T], ...], {COROUTINE}], /, *args: object, **kwargs: object"
FED_BY: Final = f"def fed_by(self, {ARGUMENTS}) -> FedBlock[T]:"
FEED: Final = f"def feed(self, {ARGUMENTS}) -> {COROUTINE}:"
STREAM: Final = f"def stream({ARGUMENTS}) -> AsyncGenerator[T, None]:"

PROFILE: Final = "def profile(*, live: bool = False) -> Profile:"
OFFER: Final = "def offer(itemize: Itemizer[T], item: T, /) -> bool:"
ON_DROP: Final = "on_drop: Callable[[T], None] | None = None"
DROP_OLDEST: Final = "drop_oldest: bool = False"
READY: Final = "def take_ready(self, limit: int | None = None) -> list[T_co]:"
SEQUENCE: Final = "from collections.abc import Sequence\n"
MAPPED: Final = "func: Callable[[A], Awaitable[B]], *, limit: int, ordered: bool = True) -> Stage[B]:"
BATCHED: Final = "seconds: float | None = None) -> Stage[list[T]]:"
MERGED: Final = "def merged(first: AsyncIterable[A], second: AsyncIterable[B], /) -> Stage[A | B]: ..."
BEAT: Final = "beat: Callable[[], B]) -> Stage[A | B]:"
POOLED: Final = "-> Callable[[A], Coroutine[object, object, B]]:"
BLOCKING: Final = '    def __call__(self, item: T_contra, /) -> None:\n        """Pass `item` to the event loop'
IN_THREAD: Final = "func: Callable[Concatenate[BlockingItemizer[T], P], None], /, *, ahead: int = 0,"


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
    Mutant("a sender gives an itemizer of Any", "sender.py", ENTER, ENTER.replace("T_contra", "Any"), ANY),
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
    Mutant("a producer takes any itemizer", "protocols.py", PRODUCER, PRODUCER.replace("Itemizer[T]", "Itemizer[Any]"), ANY),
    Mutant("a producer has a result", "protocols.py", PRODUCER, PRODUCER.replace("None]", "object]")),
    Mutant("a producer returns an Awaitable", "protocols.py", PRODUCER, PRODUCER.replace(COROUTINE, "Awaitable[None]"), AWAITABLE),
    Mutant("fed_by has lost its ParamSpec", "channel.py", FED_BY, FED_BY.replace(ARGUMENTS, LOOSE), PRODUCERS),
    Mutant("fed_by gives a receiver of Any", "channel.py", FED_BY, FED_BY.replace("FedBlock[T]", "FedBlock[Any]"), ANY),
    Mutant("the block of fed_by ends early", "_fed_block.py", f"{LEAVING}None:", f"{LEAVING}bool:"),
    Mutant(
        "fed_by gives an iterator",
        "_fed_block.py",
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
    # Flow.
    Mutant("feed has lost its ParamSpec", "channel.py", FEED, FEED.replace(ARGUMENTS, LOOSE), PRODUCERS),
    Mutant("feed gives an Awaitable", "channel.py", FEED, FEED.replace(COROUTINE, "Awaitable[None]"), AWAITABLE),
    Mutant("feed has a result", "channel.py", FEED, FEED.replace(COROUTINE, "Coroutine[object, object, object]")),
    Mutant("offer takes Any", "offer.py", OFFER, OFFER.replace("item: T", "item: Any"), ANY),
    Mutant("offer waits", "offer.py", OFFER, f"async {OFFER}"),
    Mutant("offer takes any itemizer", "offer.py", OFFER, OFFER.replace("Itemizer[T]", "Itemizer[Any]"), ANY),
    Mutant("the offered item may be passed by name", "offer.py", OFFER, OFFER.replace(", /", "")),
    Mutant("on_drop takes Any", "channel.py", ON_DROP, ON_DROP.replace("[T]", "[Any]"), ANY),
    Mutant("on_drop takes anything", "channel.py", ON_DROP, ON_DROP.replace("[T]", "[object]")),
    Mutant("on_drop may be async", "channel.py", ON_DROP, ON_DROP.replace("None]", "object]")),
    Mutant("drop_oldest is anything", "channel.py", DROP_OLDEST, DROP_OLDEST.replace("bool", "object")),
    Mutant("take_ready gives a sequence", "receiver.py", READY, READY.replace("list[T_co]", "Sequence[T_co]"), SEQUENCE),
    Mutant("take_ready gives Any", "receiver.py", READY, READY.replace("list[T_co]", "list[Any]"), ANY),
    Mutant("take_ready waits", "receiver.py", READY, f"async {READY}"),
    Mutant("take_ready takes any limit", "receiver.py", READY, READY.replace("int | None", "float | None")),
    Mutant("statistics can be changed", "_statistics.py", "frozen=True, ", ""),
    Mutant("the phase of the sender is any word", "_statistics.py", "    sender: SenderPhase\n", "    sender: str\n"),
    Mutant("the phase of the receiver is any word", "_statistics.py", "    receiver: ReceiverPhase\n", "    receiver: str\n"),
    # Stages.
    Mutant(
        "a mapped function may do anything",
        "stages/_mapped.py",
        MAPPED,
        MAPPED.replace("Callable[[A], Awaitable[B]]", "Callable[..., Awaitable[B]]"),
    ),
    Mutant("the limit may be left out", "stages/_mapped.py", MAPPED, MAPPED.replace("limit: int", "limit: int = 1")),
    Mutant("a stage makes a producer of Any", "stages/_mapped.py", MAPPED, MAPPED.replace("Stage[B]", "Stage[Any]"), ANY),
    Mutant("a batch is a sequence", "stages/_batched.py", BATCHED, BATCHED.replace("list[T]", "Sequence[T]"), SEQUENCE),
    Mutant("two sources are merged into one type", "stages/_merged.py", MERGED, MERGED.replace("Stage[A | B]", "Stage[A]")),
    Mutant("a beat is left out of the items", "stages/_kept_alive.py", BEAT, BEAT.replace("A | B", "A")),
    Mutant("what runs in a pool is not async", "stages/_in_pool.py", POOLED, POOLED.replace("Coroutine[object, object, B]", "B")),
    # Threads.
    Mutant("a blocking itemizer takes Any", "protocols.py", BLOCKING, BLOCKING.replace("T_contra", "Any"), ANY),
    Mutant("a blocking itemizer has a result", "protocols.py", BLOCKING, BLOCKING.replace("None", "object")),
    Mutant("a blocking itemizer is async", "protocols.py", BLOCKING, BLOCKING.replace("def", "async def")),
    Mutant(
        "in_thread has lost its ParamSpec",
        "in_thread.py",
        IN_THREAD,
        IN_THREAD.replace("Concatenate[BlockingItemizer[T], P]", "..."),
    ),
    Mutant("a function in a thread has a result", "in_thread.py", IN_THREAD, IN_THREAD.replace("None", "object")),
    Mutant("ahead is positional", "in_thread.py", IN_THREAD, IN_THREAD.replace(" *,", "")),
    Mutant("ahead is anything", "in_thread.py", IN_THREAD, IN_THREAD.replace("int", "object")),
    # Diagnosis.
    Mutant("a live table is asked for by position", "diagnosis/_profile.py", PROFILE, PROFILE.replace("*, ", "")),
    Mutant(
        "a profile binds anything",
        "diagnosis/_profile.py",
        "async def __aenter__(self) -> Self:",
        "async def __aenter__(self) -> Any:",
        ANY,
    ),
    Mutant("a cycle is of anything", "diagnosis/_graph.py", "cycle: tuple[Stage, ...]", "cycle: tuple[Any, ...]", ANY),
    Mutant("a signal is any number", "diagnosis/_report.py", "signum: signal.Signals, /", "signum: int, /"),
    # Errors.
    Mutant(
        "SenderFailed is no ChannelError",
        "errors.py",
        "class SenderFailed(ChannelError, Exception):",
        "class SenderFailed(Exception):",
    ),
    Mutant(
        "SenderClosed is a ReceiverClosed",
        "errors.py",
        "class SenderClosed(ChannelError, Exception):",
        "class SenderClosed(ReceiverClosed, Exception):",
    ),
    Mutant(
        "ReceiverClosed is an Exception",
        "errors.py",
        "class ReceiverClosed(ChannelError):",
        "class ReceiverClosed(ChannelError, Exception):",
    ),
)


def break_(stage: Stage, mutant: Mutant) -> None:
    """Apply `mutant` to the library of the stage."""
    path = Path(stage.root, "src", "chanstream", mutant.file)
    source = path.read_text(encoding="utf-8")
    imports = [(IMPORTS, IMPORTS + mutant.imports)] if mutant.imports else []
    for old, new in ((mutant.old, mutant.new), *imports):
        if source.count(old) != 1:
            message = f"the mutant {mutant.what!r} finds {old!r} {source.count(old)} times in {mutant.file}"
            raise Broken(message)
        source = source.replace(old, new)
    path.write_text(source, encoding="utf-8")
