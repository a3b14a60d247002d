"""The contract, read off what was written down: one pass over the marks of a channel.

Safety is checked at every mark. Promptness is checked whenever nothing was ready to run: nobody who may proceed waits then.

"at once" is no rule of the contract but a promise of `Receiver.__anext__`: where an item is there, no other task gets a turn.

Rules 5, 19, 20 and 21 don't depend on the order of steps. Rule 12 needs programs and no law of its own: after a break the other
rules hold.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.explorer.stage import Call, FedRecord, Item, Kind, Mark, Outcome, Stage, Wire

__all__ = ["LAWS", "Violation", "check"]

LAWS = {
    "rule 1": "taken in the order of the calls, at most once",
    "rule 2": "lock-step: returns exactly when a further item is asked for",
    "rule 3": "buffered: returns exactly when there is room, at once if so",
    "rule 4": "asks are served first come, first served, and promptly",
    "rule 6": "a block that ended is followed by all it sent and then the end",
    "rule 7": "a stream that failed never looks complete",
    "rule 8": "refused after the block",
    "rule 9": "nothing is taken from a closed receiver; every ask ends",
    "rule 10": "every itemize ends when the receiver closes, and no other does",
    "rule 11": "a block left because of that ends quietly, and no other does",
    "rule 13": "nobody waits for an end that was dropped",
    "rule 14": "no item is lost that somebody was told was sent",
    "rule 15": "a withdrawn item is never delivered",
    "rule 16": "nobody waits for ever, whatever is cancelled",
    "rule 17": "no task outlives the block of fed_by, each error surfaces once",
    "rule 18": "a stream leaves the same trace as a generator",
    "rule 22": "what ended keeps no item, error or task alive",
    "errors": "no error but those of the contract",
    "at once": "an ask that finds an item, and nobody waiting for it, gives no turn",
}


class Violation(NamedTuple):
    rule: str
    text: str


def check(stage: Stage) -> list[Violation]:
    """Every promise that this performance broke."""
    found: list[Violation] = []
    if stage.restless:
        found.append(Violation("rule 16", "it does not come to rest: tasks wake each other for ever"))
    elif waiting := [task.get_name() for task in stage.loop.tasks if not task.done()]:
        found.append(Violation("rule 16", f"{', '.join(waiting)} wait for ever"))
    for wire in stage.wires:
        Reading(wire, found).read()
        for left, expected, out in wire.quiet:
            if out != expected:
                text = f"the block was left by {left or 'nothing'}, out came {out or 'nothing'} and not {expected or 'nothing'}"
                found.append(Violation("rule 11", f"channel {wire.number}: {text}"))
        if wire.fed is not None:
            check_fed(wire.fed, found)
    for task in stage.loop.tasks:
        name = task.get_name()
        if task.done() and not task.cancelled() and not name.startswith(("fed", "writer")):
            error = task.exception()
            if error is not None:
                found.append(Violation("errors", f"{name} ended by {error!r}"))
    found += [Violation("errors", f"left to the event loop: {report}") for report in stage.loop.reports]
    return found


class Reading:
    """What is known of one channel, up to a mark: the channel as the contract has it."""

    def __init__(self, wire: Wire, found: list[Violation]) -> None:
        self.wire = wire
        self.found = found
        self.waiting: dict[Item, Call] = {}
        """What was accepted and not taken, in the order of the calls."""
        self.putting: dict[Call, None] = {}
        self.asking: dict[Call, None] = {}
        self.over = False
        self.failed = False
        self.cause = ""
        self.closed = False
        self.dropped = False
        self.calls = 0
        self.last_taken = -1

    def broken(self, rule: str, text: str) -> None:
        self.found.append(Violation(rule, f"channel {self.wire.number}: {text}"))

    def read(self) -> None:
        for kind, call, text in self.wire.log:
            if call is None:
                self.happened(kind, text)
            elif kind is Kind.ASK:
                self.asks(call)
            elif kind is Kind.PUT:
                self.puts(call)
            elif kind is Kind.ASK_ENDED:
                self.asked(call)
            else:
                self.put(call)
        for ask in self.asking:
            self.passed(ask)
        if self.closed or (self.over and not self.failed and not self.waiting):
            for kept in self.wire.kept:
                self.broken("rule 22", f"{kept} is kept alive after the end")

    def happened(self, kind: Kind, text: str) -> None:
        match kind:
            case Kind.AT_REST:
                self.at_rest()
            case Kind.ENDED if not self.over:
                self.over, self.failed, self.cause = True, bool(text), text
            case Kind.SENDER_DROPPED if not self.over:
                self.over = self.failed = self.dropped = True
            case Kind.CLOSED:
                self.closes()
            case Kind.RECEIVER_DROPPED if not self.closed:
                self.dropped = True
                self.closes()
            case Kind.OPENED_AGAIN:
                self.broken("rule 8", "the sender was opened twice")
            case Kind.WAITED:
                self.broken("rule 9", f"{text} waited")
            case _:
                pass

    def closes(self) -> None:
        if not self.closed and self.failed:
            for ask in self.asking:
                # It was waiting when the stream failed, and has to learn that whenever it runs. But if there was an item for it as
                # well, that is gone now, and it may learn either.
                ask.may_fail = True
                ask.must_fail = not self.waiting
        self.closed = True
        self.waiting.clear()

    # Calls begin.

    def asks(self, ask: Call) -> None:
        ask.number = self.calls = self.calls + 1
        ask.at_once = bool(self.waiting) and not self.asking
        self.asking[ask] = None
        for put in self.putting:
            put.asked = put.taken

    def puts(self, put: Call) -> None:
        assert put.item is not None
        put.number = self.calls = self.calls + 1
        if self.over or self.closed:
            put.refused = True
        else:
            self.waiting[put.item] = put
            put.at_once = bool(self.wire.buffer) and not self.putting and len(self.waiting) <= self.wire.buffer
        self.putting[put] = None

    # An ask ends.

    def asked(self, ask: Call) -> None:
        del self.asking[ask]
        if ask.at_once and ask.began != ask.ended:
            self.broken("at once", f"the ask of {ask.who} waited although there was an item")
        match ask.outcome:
            case Outcome.OK:
                self.took(ask)
            case Outcome.END:
                self.told_the_end(ask)
            case Outcome.FAILED:
                self.told_the_failure(ask)
            case Outcome.CANCELLED:
                return
            case _:
                self.broken("errors", f"{ask.who} asked and got {ask.outcome.name} {ask.detail}")
        self.passed(ask)

    def passed(self, ask: Call) -> None:
        if ask.passed:
            self.broken("rule 4", f"the ask of {ask.who} was passed by a later one")

    def took(self, ask: Call) -> None:
        assert ask.item is not None
        if self.closed:
            self.broken("rule 9", f"{ask.who} took {ask.item} after the receiver was closed")
            return
        put = self.waiting.pop(ask.item, None)
        if put is None:
            if self.was_withdrawn(ask):
                self.broken("rule 15", f"{ask.item} had been withdrawn, {ask.who} took it")
            else:
                self.broken("rule 1", f"{ask.who} took {ask.item}, which was not there to be taken, or for the second time")
            return
        put.taken = True
        if put.number < self.last_taken:
            self.broken("rule 1", f"{ask.who} took {ask.item} after a later one")
        self.last_taken = max(self.last_taken, put.number)
        for other in self.asking:
            put.asked = True
            other.passed = other.passed or other.number < ask.number

    def was_withdrawn(self, ask: Call) -> bool:
        for kind, call, _ in self.wire.log:
            if call is ask and kind is Kind.ASK_ENDED:
                break
            if call is not None and kind is Kind.PUT_ENDED and call.item == ask.item and not call.taken:
                return call.outcome is Outcome.CANCELLED
        return False

    def told_the_end(self, ask: Call) -> None:
        if self.closed:
            if ask.must_fail:
                self.broken("rule 7", f"{ask.who} was waiting when the stream failed, and got a normal end")
        elif not self.over:
            self.broken("rule 6", f"{ask.who} got the end before the block ended")
        elif self.failed:
            self.broken("rule 7", f"{ask.who} got a normal end of a stream that failed")
        else:
            self.too_early("rule 6", ask)

    def told_the_failure(self, ask: Call) -> None:
        if self.wire.fed is not None and not self.wire.fed.started:
            return  # a producer that was cancelled before its first step can't have said when it ended
        if self.closed and not ask.may_fail:
            self.broken("rule 9", f"{ask.who} got SenderFailed of a closed receiver")
        elif not self.failed:
            self.broken("rule 7", f"{ask.who} got SenderFailed, and the sending side had not failed")
        elif ask.detail != self.cause:
            self.broken("rule 7", f"{ask.who} got SenderFailed from {ask.detail or 'nothing'}, it is {self.cause or 'nothing'}")
        self.too_early("rule 7", ask)

    def too_early(self, rule: str, ask: Call) -> None:
        """An ask got the end. What was accepted and not taken by then either comes after it or is lost."""
        for item, put in self.waiting.items():
            if any(kind is Kind.ASK_ENDED and call is not None and call.item == item for kind, call, _ in self.wire.log):
                self.broken(rule, f"{ask.who} got the end before {item}")
            elif put.outcome is Outcome.OK:
                self.broken("rule 14", f"{item} is lost: {ask.who} got the end, and nobody takes it")
            else:
                self.broken(rule, f"{ask.who} got the end while {item} waits to be taken")

    # An itemize ends.

    def put(self, put: Call) -> None:
        assert put.item is not None
        del self.putting[put]
        match put.outcome:
            case Outcome.OK:
                self.put_returned(put)
            case Outcome.CANCELLED:
                if put.refused:
                    self.broken(self.refusal, f"itemize of {put.item} waited instead of being refused")
            case Outcome.CLOSED:
                if not self.closed:
                    self.broken("rule 10", f"itemize of {put.item} was told that the receiver was closed, and it was not")
            case Outcome.MISUSED:
                if not put.refused or not self.over:
                    self.broken("rule 8", f"itemize of {put.item} was refused, and its block went on when it was called")
            case _:
                self.broken("errors", f"itemize of {put.item} got {put.outcome.name} {put.detail}")
        if put.outcome is not Outcome.OK:
            self.waiting.pop(put.item, None)  # withdrawn

    @property
    def refusal(self) -> str:
        """Which rule refuses an item."""
        if self.closed:
            return "rule 13" if self.dropped else "rule 10"
        return "rule 8"

    def put_returned(self, put: Call) -> None:
        if put.refused:
            self.broken(self.refusal, f"{put.item} was accepted although its time was over")
        elif self.closed:
            self.broken("rule 10", f"itemize of {put.item} returned after the receiver was closed")
        elif self.wire.buffer:
            if not put.taken and (place := self.place(put)) > self.wire.buffer:
                self.broken("rule 3", f"itemize of {put.item} returned, although {place} items wait up to it")
        elif not put.taken:
            self.broken("rule 2", f"itemize of {put.item} returned before it was taken")
        elif not put.asked:
            self.broken("rule 2", f"itemize of {put.item} returned before a further item was asked for")
        if put.at_once and put.began != put.ended:
            self.broken("rule 3", f"itemize of {put.item} waited although there was room")

    def place(self, put: Call) -> int:
        """How many items wait to be taken, up to that of `put`."""
        return sum(each.number <= put.number for each in self.waiting.values())

    # Nothing is ready: nobody who may proceed waits.

    def at_rest(self) -> None:
        for ask in self.asking:
            if self.closed:
                self.broken("rule 13" if self.dropped else "rule 9", f"{ask.who} waits for an item of a closed receiver")
            elif self.waiting:
                self.broken("rule 4", f"{ask.who} waits for an item, and {next(iter(self.waiting))} is there")
            elif self.over:
                rule = "rule 13" if self.dropped else "rule 7" if self.failed else "rule 6"
                self.broken(rule, f"{ask.who} waits for an item after the end")
        for put in self.putting:
            if put.refused or self.closed:
                self.broken(self.refusal, f"itemize of {put.item} waits instead of being refused")
            elif self.wire.buffer:
                if put.taken or self.place(put) <= self.wire.buffer:
                    self.broken("rule 3", f"itemize of {put.item} waits although there is room")
            elif put.taken and put.asked:
                self.broken("rule 2", f"itemize of {put.item} waits although a further item was asked for")


def check_fed(fed: FedRecord, found: list[Violation]) -> None:
    if not fed.over:
        return
    if fed.outlived:
        found.append(Violation("rule 17", "the producer outlived its block"))
    # The body failed to report the failure of the producer, or for a reason of its own. To be cancelled is no such reason.
    reported = fed.body_reports is not None and (fed.body_reports == fed.producer or fed.producer in {"", "never started"})
    needed = [fed.body] if fed.body and not reported and not fed.body_cancelled else []
    if fed.producer and not fed.producer_cancelled and not fed.producer_quiet:
        needed.append(fed.producer)
    # Perhaps it was cancelled by the block, perhaps from elsewhere before it started. Then the block may tell of it or not.
    perhaps = fed.producer_cancelled and not fed.body_cancelled
    if not needed:
        if fed.body_cancelled:
            needed = ["CancelledError"]
        elif reported or (fed.producer_cancelled and fed.started and fed.ended_before):
            needed, perhaps = ["SenderFailed"], False
        elif fed.interrupted:
            needed = ["CancelledError"]
    if not is_made_of(fed, needed) and not (perhaps and is_made_of(fed, [*needed, "SenderFailed"])):
        found.append(Violation("rule 17", f"out of the block came {fed.out or 'nothing'}, it should be {needed or 'nothing'}"))


def is_made_of(fed: FedRecord, needed: list[str]) -> bool:
    """Whether all that is `needed` came out of the block and nothing else, one error as itself and several in a group."""
    return (
        len(needed) == len(fed.out)
        and fed.grouped == (len(needed) > 1)
        and all(any(each.startswith(want) for each in fed.out) for want in needed)
    )


def describe(mark: Mark) -> str:
    """A line of a report."""
    kind, call, text = mark
    if call is None:
        return f"{kind.name.lower().replace('_', ' ')} {text}".rstrip()
    match kind:
        case Kind.PUT:
            return f"{call.who}: itemize({call.item})"
        case Kind.PUT_ENDED:
            return f"{call.who}: itemize({call.item}) -> {call.outcome.name.lower()}"
        case Kind.ASK:
            return f"{call.who}: asks"
        case _:
            return f"{call.who}: ask -> {call.item if call.item is not None else call.outcome.name.lower()}"
