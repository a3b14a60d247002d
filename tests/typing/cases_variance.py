"""Where an end of one item type goes in place of another's: a `Dog` is an `Animal`.

Sending ends of the more general fit, receiving ends of the more special, a channel only where its own type is wanted.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from chanstream import Channel, Itemizer, Receiver, Sender, SenderContext

T = TypeVar("T")


class Animal: ...


class Dog(Animal): ...


# Itemizer: contravariant.


def itemizes_objects(_: Itemizer[object]) -> None: ...
def itemizes_animals(_: Itemizer[Animal]) -> None: ...
def itemizes_dogs(_: Itemizer[Dog]) -> None: ...


def itemizer(of_objects: Itemizer[object], of_animals: Itemizer[Animal], of_dogs: Itemizer[Dog]) -> None:
    itemizes_objects(of_objects)
    itemizes_objects(of_animals)  # type: ignore[arg-type]
    itemizes_objects(of_dogs)  # type: ignore[arg-type]
    itemizes_animals(of_objects)
    itemizes_animals(of_animals)
    itemizes_animals(of_dogs)  # type: ignore[arg-type]
    itemizes_dogs(of_objects)
    itemizes_dogs(of_animals)
    itemizes_dogs(of_dogs)


# SenderContext: contravariant.


def opens_for_objects(_: SenderContext[object]) -> None: ...
def opens_for_animals(_: SenderContext[Animal]) -> None: ...
def opens_for_dogs(_: SenderContext[Dog]) -> None: ...


def sender_context(of_objects: SenderContext[object], of_animals: SenderContext[Animal], of_dogs: SenderContext[Dog]) -> None:
    opens_for_objects(of_objects)
    opens_for_objects(of_animals)  # type: ignore[arg-type]
    opens_for_objects(of_dogs)  # type: ignore[arg-type]
    opens_for_animals(of_objects)
    opens_for_animals(of_animals)
    opens_for_animals(of_dogs)  # type: ignore[arg-type]
    opens_for_dogs(of_objects)
    opens_for_dogs(of_animals)
    opens_for_dogs(of_dogs)


# Sender: contravariant, as itself and as the SenderContext that it is.


def sends_objects(_: Sender[object]) -> None: ...
def sends_animals(_: Sender[Animal]) -> None: ...
def sends_dogs(_: Sender[Dog]) -> None: ...


def sender(of_objects: Sender[object], of_animals: Sender[Animal], of_dogs: Sender[Dog]) -> None:
    sends_objects(of_objects)
    sends_objects(of_animals)  # type: ignore[arg-type]
    sends_objects(of_dogs)  # type: ignore[arg-type]
    sends_animals(of_objects)
    sends_animals(of_animals)
    sends_animals(of_dogs)  # type: ignore[arg-type]
    sends_dogs(of_objects)
    sends_dogs(of_animals)
    sends_dogs(of_dogs)


def sender_as_context(of_objects: Sender[object], of_animals: Sender[Animal], of_dogs: Sender[Dog]) -> None:
    opens_for_objects(of_objects)
    opens_for_objects(of_animals)  # type: ignore[arg-type]
    opens_for_objects(of_dogs)  # type: ignore[arg-type]
    opens_for_animals(of_objects)
    opens_for_animals(of_animals)
    opens_for_animals(of_dogs)  # type: ignore[arg-type]
    opens_for_dogs(of_objects)
    opens_for_dogs(of_animals)
    opens_for_dogs(of_dogs)


def context_as_sender(context: SenderContext[Dog]) -> None:
    sends_dogs(context)  # type: ignore[arg-type]


# Receiver: covariant, as itself and as the AsyncIterator and AsyncIterable that it is.


def receives_objects(_: Receiver[object]) -> None: ...
def receives_animals(_: Receiver[Animal]) -> None: ...
def receives_dogs(_: Receiver[Dog]) -> None: ...


def receiver(of_objects: Receiver[object], of_animals: Receiver[Animal], of_dogs: Receiver[Dog]) -> None:
    receives_objects(of_objects)
    receives_objects(of_animals)
    receives_objects(of_dogs)
    receives_animals(of_objects)  # type: ignore[arg-type]
    receives_animals(of_animals)
    receives_animals(of_dogs)
    receives_dogs(of_objects)  # type: ignore[arg-type]
    receives_dogs(of_animals)  # type: ignore[arg-type]
    receives_dogs(of_dogs)


def iterates_animals(_: AsyncIterator[Animal]) -> None: ...
def iterates_dogs(_: AsyncIterator[Dog]) -> None: ...
def loops_over_animals(_: AsyncIterable[Animal]) -> None: ...
def loops_over_dogs(_: AsyncIterable[Dog]) -> None: ...


def receiver_as_iterator(of_animals: Receiver[Animal], of_dogs: Receiver[Dog]) -> None:
    iterates_animals(of_animals)
    iterates_animals(of_dogs)
    iterates_dogs(of_animals)  # type: ignore[arg-type]
    iterates_dogs(of_dogs)
    loops_over_animals(of_animals)
    loops_over_animals(of_dogs)
    loops_over_dogs(of_animals)  # type: ignore[arg-type]
    loops_over_dogs(of_dogs)


def iterator_as_receiver(iterator: AsyncIterator[Dog], generator: AsyncGenerator[Dog, None]) -> None:
    receives_dogs(iterator)  # type: ignore[arg-type]
    receives_dogs(generator)  # type: ignore[arg-type]


# Channel: invariant, since it has both ends.


def joins_objects(_: Channel[object]) -> None: ...
def joins_animals(_: Channel[Animal]) -> None: ...
def joins_dogs(_: Channel[Dog]) -> None: ...


def channel(of_objects: Channel[object], of_animals: Channel[Animal], of_dogs: Channel[Dog]) -> None:
    joins_objects(of_objects)
    joins_objects(of_animals)  # type: ignore[arg-type]
    joins_objects(of_dogs)  # type: ignore[arg-type]
    joins_animals(of_objects)  # type: ignore[arg-type]
    joins_animals(of_animals)
    joins_animals(of_dogs)  # type: ignore[arg-type]
    joins_dogs(of_objects)  # type: ignore[arg-type]
    joins_dogs(of_animals)  # type: ignore[arg-type]
    joins_dogs(of_dogs)


def ends_of_a_channel(of_animals: Channel[Animal], of_dogs: Channel[Dog]) -> None:
    sends_animals(of_dogs.sender)  # type: ignore[arg-type]
    sends_dogs(of_animals.sender)
    opens_for_animals(of_dogs.sender)  # type: ignore[arg-type]
    opens_for_dogs(of_animals.sender)
    receives_animals(of_dogs.receiver)
    receives_dogs(of_animals.receiver)  # type: ignore[arg-type]


# What the classes are to their users, stated once and for every item type.


def roles(ends: Channel[T]) -> tuple[SenderContext[T], AsyncIterator[T]]:
    return ends.sender, ends.receiver


def concrete_roles(ends: Channel[T]) -> tuple[Sender[T], Receiver[T]]:
    return ends.sender, ends.receiver


def contexts(
    ends: Channel[T],
) -> tuple[AbstractAsyncContextManager[Itemizer[T], bool], AbstractAsyncContextManager[Receiver[T], None]]:
    return ends.sender, ends.receiver


def swapped(ends: Channel[T]) -> tuple[SenderContext[T], AsyncIterator[T]]:
    return ends.receiver, ends.sender  # type: ignore[return-value]
