"""The contract, read off what was written down: one pass over the marks of a channel.

Safety is checked at every mark. Promptness is checked whenever nothing was ready to run: no task that may proceed waits then.

"at once" is no rule of the contract but a promise of `Receiver.__anext__`: where an item is there, no other task gets a turn.

Rules 5, 19, 20 and 21 don't depend on the order of steps. Rule 12 needs programs and no law of its own: after a break the other
rules hold.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.explorer.stage import ALL_THAT_IS_READY, Call, FedRecord, Item, Kind, Mark, Outcome, Stage, Wire

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
    "cut short": "a new loop over a stream that was cut short is refused, and no other is",
    "rule 10": "every itemize ends when the receiver closes, and no other does",
    "rule 11": "a block left because of that ends quietly, and no other does",
    "rule 13": "no task waits for an end that was dropped",
    "rule 14": "no item is lost whose itemizer has returned",
    "rule 15": "a withdrawn item is never delivered",
    "rule 16": "no task waits for ever, whatever is cancelled",
    "rule 17": "no task outlives the block of fed_by, each error surfaces once",
    "rule 18": "a stream leaves the same trace as a generator",
    "rule 23": "a feed ends as its producer does, which is cancelled once when the receiver has gone",
    "rule 24": "an offer is accepted exactly when there is room, and never waits",
    "rule 25": "on_drop is called once for each item that is lost after it was accepted, the oldest first",
    "rule 26": "what is ready is taken at once, and by none that others wait before; the statistics count what is there",
    "rule 22": "what ended keeps no item, error or task alive",
    "errors": "no error but those of the contract",
    "at once": "an ask that finds an item for which no other ask waits gives no turn",
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
            check_task(wire, wire.fed, found)
            if wire.fed.in_block:
                check_fed(wire.fed, found)
    check_the_rest(stage, found)
    return found


def check_the_rest(stage: Stage, found: list[Violation]) -> None:
    """What holds of the tasks, and of what the event loop's exception handler got."""
    for task in stage.loop.tasks:
        name = task.get_name()
        if task.done() and not task.cancelled() and not name.startswith(("fed", "feed", "writer")):
            error = task.exception()
            if error is not None:
                found.append(Violation("errors", f"{name} ended by {error!r}"))
    reports = [report for report in stage.loop.reports if not report.startswith("on_drop of ")]
    found += [Violation("errors", f"left to the event loop: {report}") for report in reports]
    failed = sum(len(wire.drop_errors) for wire in stage.wires)
    if failed != len(stage.loop.reports) - len(reports):
        found.append(Violation("rule 25", f"on_drop failed {failed} times, and the event loop was not told so as often"))
    if any(wire.kept_errors for wire in stage.wires):
        found.append(Violation("rule 22", "an error of on_drop is in a cycle of references"))


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
        self.closed_first = False
        """Whether it was closed before the block had ended."""
        self.cut_short = False
        self.returned: set[Item] = set()
        """What was accepted, and its itemizer or offer has returned."""
        self.left_behind: set[Item] = set()
        """Items for which `on_drop` has to be called before the next rest."""
        self.dropped_items = 0
        self.dropped = False
        self.calls = 0
        self.last_taken = -1

    def broken(self, rule: str, text: str) -> None:
        self.found.append(Violation(rule, f"channel {self.wire.number}: {text}"))

    def read(self) -> None:
        of_calls = {
            Kind.ASK: self.asks,
            Kind.ASK_ENDED: self.asked,
            Kind.PUT: self.puts,
            Kind.PUT_ENDED: self.put,
            Kind.OFFER: self.offers,
            Kind.OFFER_ENDED: self.offered,
            Kind.DROPPED: self.lost,
        }
        for kind, call, text in self.wire.log:
            if call is None:
                self.happened(kind, text)
            else:
                of_calls[kind](call)
        for ask in self.asking:
            self.passed(ask)
        if self.closed or (self.over and not self.failed and not self.waiting):
            for kept in self.wire.kept:
                self.broken("rule 22", f"{kept} is kept alive after the end")

    def happened(self, kind: Kind, text: str) -> None:
        match kind:
            case Kind.AT_REST:
                self.at_rest(text)
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
            case Kind.LOOP if bool(text) != self.cut_short:
                what = "refused" if text else "let in"
                self.broken("cut short", f"a new loop was {what}; the stream was{'' if self.cut_short else ' not'} cut short")
            case Kind.READY:
                self.was_ready(*map(int, text.split()))
            case Kind.WAITED:
                self.broken("rule 9", f"{text} waited")
            case _:
                pass

    def closes(self) -> None:
        if not self.closed:
            self.closed_first = not self.over
            self.cut_short = not self.over or self.failed or bool(self.waiting)
            if self.wire.tells_of_drops:
                self.left_behind |= self.returned
            self.dropped_items += len(self.returned)
            self.returned.clear()
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
            has_room = self.wire.drops_oldest or len(self.waiting) <= self.wire.buffer
            put.at_once = bool(self.wire.buffer) and not self.putting and has_room
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
        self.returned.discard(ask.item)
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
        elif ask.detail != self.cause and not (self.cause == "RuntimeError" and ask.detail.startswith(self.cause)):
            self.broken("rule 7", f"{ask.who} got SenderFailed from {ask.detail or 'nothing'}, it is {self.cause or 'nothing'}")
        self.too_early("rule 7", ask)

    def too_early(self, rule: str, ask: Call) -> None:
        """An ask got the end. What was accepted and not taken by then either comes after it or is lost."""
        for item, put in self.waiting.items():
            if any(kind is Kind.ASK_ENDED and call is not None and call.item == item for kind, call, _ in self.wire.log):
                self.broken(rule, f"{ask.who} got the end before {item}")
            elif put.outcome is Outcome.OK:
                self.broken("rule 14", f"{item} is lost: {ask.who} got the end, and nothing takes it")
            else:
                self.broken(rule, f"{ask.who} got the end while {item} waits to be taken")

    # Items that are offered, ready or lost.

    def offers(self, call: Call) -> None:
        call.number = self.calls = self.calls + 1

    def offered(self, call: Call) -> None:
        assert call.item is not None
        if self.over or self.closed:
            expected = Outcome.MISUSED if self.over and not self.closed_first else Outcome.REFUSED
        elif self.wire.drops_oldest or (
            len(self.waiting) < self.wire.buffer if self.wire.buffer else len(self.waiting) < len(self.asking)
        ):
            expected = Outcome.OK
        else:
            expected = Outcome.REFUSED
        if call.outcome is not expected:
            text = f"the offer of {call.item} was {call.outcome.name} {call.detail}, it should be {expected.name}"
            self.broken("rule 24", text)
        if call.outcome is Outcome.OK and expected is Outcome.OK:
            self.waiting[call.item] = call
            self.returned.add(call.item)

    def was_ready(self, limit: int, taken: int) -> None:
        there = 0 if self.closed or self.asking else len(self.waiting)
        expected = there if limit >= ALL_THAT_IS_READY else min(there, limit)
        if taken != expected:
            self.broken("rule 26", f"{taken} items were ready, it should be {expected}")

    def lost(self, drop: Call) -> None:
        assert drop.item is not None
        if drop.item in self.left_behind:
            self.left_behind.discard(drop.item)
            return
        if self.closed or not self.wire.drops_oldest:
            self.broken("rule 25", f"on_drop was called for {drop.item}, which was not left behind, or for the second time")
            return
        oldest = next((item for item in self.waiting if item in self.returned), None)
        if drop.item != oldest:
            self.broken("rule 25", f"{drop.item} was lost, and the oldest is {oldest}")
        elif len(self.returned) < self.wire.buffer:
            self.broken("rule 25", f"{drop.item} was lost, and the buffer was not full")
        self.waiting.pop(drop.item, None)
        self.returned.discard(drop.item)
        self.dropped_items += 1

    # An itemize ends.

    def put(self, put: Call) -> None:
        assert put.item is not None
        del self.putting[put]
        match put.outcome:
            case Outcome.OK:
                self.put_returned(put, put.item)
            case Outcome.CANCELLED:
                if put.refused and not (self.closed and self.wire.fed is not None):  # there the cancellation may come in its place
                    self.broken(self.refusal, f"itemize of {put.item} waited instead of being refused")
            case Outcome.CLOSED | Outcome.MISUSED:
                self.put_was_refused(put)
            case _:
                self.broken("errors", f"itemize of {put.item} got {put.outcome.name} {put.detail}")
        if put.outcome is not Outcome.OK:
            self.waiting.pop(put.item, None)  # withdrawn

    def put_was_refused(self, put: Call) -> None:
        if put.outcome is Outcome.CLOSED:
            if not self.closed:
                self.broken("rule 10", f"itemize of {put.item} was told that the receiver was closed, and it was not")
            elif put.refused and not self.closed_first:
                self.broken("rule 8", f"itemize of {put.item} was told of a closed receiver, and its block ended before")
        elif not put.refused or not self.over:
            self.broken("rule 8", f"itemize of {put.item} was refused, and its block went on when it was called")
        elif self.closed_first:
            self.broken("rule 8", f"itemize of {put.item} was told that its block had ended, and the receiver went before")

    @property
    def refusal(self) -> str:
        """Which rule refuses an item."""
        if self.closed:
            return "rule 13" if self.dropped else "rule 10"
        return "rule 8"

    def put_returned(self, put: Call, item: Item) -> None:
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
            self.broken("rule 25" if self.wire.drops_oldest else "rule 3", f"itemize of {put.item} waited although there was room")
        if not put.taken:
            self.returned.add(item)
            if self.wire.drops_oldest and len(self.returned) > self.wire.buffer:
                self.broken("rule 25", f"{len(self.returned)} items are in the buffer")

    def place(self, put: Call) -> int:
        """How many items wait to be taken, up to that of `put`."""
        return sum(each.number <= put.number for each in self.waiting.values())

    # Nothing is ready: no task that may proceed waits.

    def at_rest(self, counts: str) -> None:
        if counts:
            there = (len(self.returned), len(self.waiting), len(self.putting), len(self.asking), self.dropped_items)
            if counts != " ".join(map(str, there)):
                self.broken("rule 26", f"the statistics are {counts}, they should be {there}")
        for item in sorted(self.left_behind):
            self.broken("rule 25", f"{item} was left behind, and on_drop was not called for it")
        self.left_behind.clear()
        self.asks_at_rest()
        self.puts_at_rest()

    def asks_at_rest(self) -> None:
        for ask in self.asking:
            if self.closed:
                self.broken("rule 13" if self.dropped else "rule 9", f"{ask.who} waits for an item of a closed receiver")
            elif self.waiting:
                self.broken("rule 4", f"{ask.who} waits for an item, and {next(iter(self.waiting))} is there")
            elif self.over:
                rule = "rule 13" if self.dropped else "rule 7" if self.failed else "rule 6"
                self.broken(rule, f"{ask.who} waits for an item after the end")

    def puts_at_rest(self) -> None:
        for put in self.putting:
            if put.refused or self.closed:
                self.broken(self.refusal, f"itemize of {put.item} waits instead of being refused")
            elif self.wire.buffer:
                if put.taken or self.place(put) <= self.wire.buffer:
                    self.broken("rule 3", f"itemize of {put.item} waits although there is room")
            elif put.taken and put.asked:
                self.broken("rule 2", f"itemize of {put.item} waits although a further item was asked for")


def check_task(wire: Wire, fed: FedRecord, found: list[Violation]) -> None:
    """What holds of the task of a producer, whether `Channel.feed` or `Channel.fed_by` has run it."""
    if wire.feeding is None or not wire.feeding.done():
        return  # it was not made, or waits for ever
    rule = "rule 17" if wire.feeding.get_name().startswith("fed") else "rule 23"
    if fed.too_often and (rule == "rule 23" or "twice" in fed.too_often):
        found.append(Violation(rule, f"the task of the producer: {fed.too_often}"))
    if fed.too_late:
        found.append(Violation(rule, "the producer was started although the receiver had gone"))
    if rule == "rule 17" and not fed.started:
        return  # it was cancelled before its first step, by whatever
    if fed.cancelling != fed.from_elsewhere:
        text = f"{fed.cancelling} cancellations are left of its task, {fed.from_elsewhere} came from elsewhere"
        found.append(Violation(rule, text))
    if fed.producer and not fed.producer_cancelled and not fed.producer_quiet:
        expected = fed.producer
    else:
        expected = "CancelledError" if fed.from_elsewhere else ""
    if fed.task_out.startswith(expected) if expected else not fed.task_out:
        pass
    else:
        found.append(Violation(rule, f"the task of the producer ended by {fed.task_out or 'nothing'}, not {expected or 'nothing'}"))
    if fed.reported and fed.surfaced:
        found.append(Violation(rule, "the error of the producer is reported as lost although an ask has raised it"))


def check_fed(fed: FedRecord, found: list[Violation]) -> None:
    if not fed.over:
        return
    if fed.outlived:
        found.append(Violation("rule 17", "the producer outlived its block"))
    own = [fed.body] if fed.body and not fed.body_stopped else []
    needed = what_leaves(fed, own)
    # One that was cancelled before its first step can't have said when it ended.
    perhaps = not fed.started and fed.from_elsewhere and not fed.surfaced and not fed.body_stopped
    if not needed:
        if fed.interrupted:
            needed = ["CancelledError"]
        elif fed.body_stopped:
            needed = [fed.body]
    if not is_made_of(fed, needed) and not (perhaps and is_made_of(fed, [*own, "SenderFailed"])):
        found.append(Violation("rule 17", f"out of the block came {fed.out or 'nothing'}, it should be {needed or 'nothing'}"))


def what_leaves(fed: FedRecord, own: list[str]) -> list[str]:
    """Return which errors leave the block, whose body has failed by its `own`."""
    if fed.producer and not fed.producer_cancelled and not fed.producer_quiet:
        if not fed.surfaced:
            return [*own, fed.producer]
        # It is the body's affair. Raised on, it leaves as itself.
        return [fed.producer] if own and fed.body_reports is not None else own
    cancelled_before = fed.producer_cancelled and fed.from_elsewhere and fed.started and fed.ended_before
    if cancelled_before and not fed.surfaced and not fed.body_stopped:
        return [*own, "SenderFailed"]
    return own


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
        case Kind.DROPPED:
            return f"on_drop({call.item})"
        case Kind.ASK:
            return f"{call.who}: asks"
        case Kind.ASK_ENDED:
            return f"{call.who}: ask -> {call.item if call.item is not None else call.outcome.name.lower()}"
        case _:
            name = "offer" if kind in {Kind.OFFER, Kind.OFFER_ENDED} else "itemize"
            ended = kind in {Kind.PUT_ENDED, Kind.OFFER_ENDED}
            return f"{call.who}: {name}({call.item})" + (f" -> {call.outcome.name.lower()}" if ended else "")
