"""Which errors leave a `fed_by` block when its body, its producer or both have failed. Each error leaves once."""

from __future__ import annotations

from asyncio import CancelledError

from . import errors
from .errors import SenderFailed

__all__ = ["raise_failures", "what_failed"]


def what_failed(
    channel: object, body: BaseException | None, producer: BaseException | None, *, surfaced: bool
) -> list[BaseException]:
    """Return what has to leave the block: nothing, `body`, `producer`, or both, which then are two errors with two causes.

    `surfaced` is whether an ask has raised the producer's error, as `SenderFailed`. The body has then decided about it, and it
    leaves the block only if the body re-raises it. If `producer` is a cancellation, it came from elsewhere: it must not cancel the
    body, so it leaves as `SenderFailed`. For the body, to be cancelled or closed is no failure.
    """
    stopped = isinstance(body, CancelledError | GeneratorExit)
    failed = [] if body is None or stopped else [body]
    cancelled = isinstance(producer, CancelledError)
    if producer is None or (cancelled and stopped):
        return failed
    leaving = errors.sender_failed(repr(channel), producer) if cancelled else producer
    if surfaced:
        raised_on = failed and only_reports(failed[0], producer)
        return failed if not raised_on or (cancelled and isinstance(failed[0], SenderFailed)) else [leaving]
    if failed:
        ours, theirs = causes(failed[0]), causes(producer)
        if theirs <= ours:
            return failed
        if ours <= theirs:
            return [leaving]
    return [*failed, leaving]


def raise_failures(channel: object, leaving: BaseException | None, failed: list[BaseException]) -> None:
    """Raise the errors in `failed`: one as itself, several in a group. `leaving` alone propagates without being raised again."""
    if len(failed) > 1:
        raise errors.both_failed(repr(channel), failed) from None
    if failed and failed[0] is not leaving:
        only = failed.pop()
        context = only.__context__
        try:
            raise only
        finally:
            # Raising has made `leaving` the context of the very error that caused it.
            only.__context__ = context
            del only, context, leaving


def only_reports(error: BaseException, cause: BaseException) -> bool:
    """Return whether `error` is `cause`, a `SenderFailed` from it or from such a report, or a group of nothing else."""
    # Each error is looked at once: the reports of a pool of workers all have one cause.
    unread, seen, found = [error], set[int](), False
    while unread:
        each = unread.pop()
        if each is cause:
            found = True
        elif id(each) not in seen:
            seen.add(id(each))
            if not reported_by(each):
                return False
            unread += reported_by(each)
    return found


def causes(error: BaseException) -> set[int]:
    """Return the identities of the errors that `error` reports in the end, through groups and `SenderFailed`."""
    unread, seen, found = [error], set[int](), set[int]()
    while unread:
        each = unread.pop()
        if id(each) not in seen:
            seen.add(id(each))
            if reported_by(each):
                unread += reported_by(each)
            else:
                found.add(id(each))
    return found or {id(error)}  # reports in a circle have no other cause


def reported_by(error: BaseException) -> tuple[BaseException, ...]:
    """Return the errors that `error` only reports: those of a group, the cause of a `SenderFailed`."""
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions
    if isinstance(error, SenderFailed) and error.__cause__ is not None:
        return (error.__cause__,)
    return ()
