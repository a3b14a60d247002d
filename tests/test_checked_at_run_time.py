"""Functions whose annotations are checked when they are called: by beartype, by typeguard and by pydantic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from chanstream import BlockingItemizer, Channel, Itemizer, Receiver, SenderContext
from tests.outcomes import collect

pytestmark = pytest.mark.slow

Annotated: TypeAlias = Callable[..., object]


def annotated(
    itemize: Itemizer[int],
    sink: SenderContext[int],
    receiver: Receiver[int],
    channel: Channel[int],
    blocking: BlockingItemizer[int],
) -> int:
    return len((itemize, sink, receiver, channel, blocking))


@pytest.fixture(params=["beartype", "typeguard", "pydantic"])
def checked(request: pytest.FixtureRequest) -> Annotated:
    # Imported here, since that takes seconds.
    match request.param:
        case "beartype":
            from beartype import beartype

            return beartype(annotated)
        case "typeguard":
            from typeguard import typechecked

            return typechecked(annotated)
        case _:
            from pydantic import ConfigDict, validate_call

            return validate_call(config=ConfigDict(arbitrary_types_allowed=True))(annotated)


async def test_the_ends_of_a_channel_pass_a_check_of_annotations(checked: Annotated) -> None:
    """Rule 21: the protocols can be used at run time, by the libraries that do."""
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        assert checked(itemize, channel.sender, channel.receiver, channel, print) == 5
        await itemize(1)
    assert await collect(channel.receiver) == [1]


@pytest.mark.parametrize("position", range(5))
async def test_a_check_of_annotations_refuses_what_is_no_end(checked: Annotated, position: int) -> None:
    """Rule 21: by an error of that library, before the function runs."""
    channel = Channel[int]()
    async with channel.sender as itemize:
        arguments: list[object] = [itemize, channel.sender, channel.receiver, channel, print]
        arguments[position] = "something else"
        with pytest.raises(Exception, match=r"something else|str"):
            checked(*arguments)
