"""The library broken on purpose where it says when to give a turn, what a closed channel refuses, and what is lost.

Those that a schedule shows have to be found by the explorer too. The default run of the tests has to find each.
"""

from __future__ import annotations

from typing import Final

from tests.breaking import Finder, Mistakes, always, drop, insert, never, remove, replace, swap

__all__ = ["FLOW"]

TESTS: Final = frozenset({Finder.TESTS})
BOTH: Final = frozenset({Finder.EXPLORER, Finder.TESTS})

state = Mistakes("_state.py", "ChannelState", TESTS)
ends = Mistakes("_ends.py", "ChannelEnds", TESTS)
waiting = Mistakes("_waiting.py", "", TESTS)
bound = Mistakes("_waiting.py", "BoundState", TESTS)
dropping = Mistakes("_dropping.py", "DroppingState", TESTS)
oldest = Mistakes("_dropping.py", "DropOldestState", TESTS)
sender = Mistakes("sender.py", "Sender", TESTS)
in_sender = Mistakes("sender.py", "", TESTS)
receiver = Mistakes("receiver.py", "Receiver", TESTS)
offering = Mistakes("offer.py", "", TESTS)

ADVANCING: Final = (
    ends("advance wakes no itemizer for room", "advance", remove("if _ and self.has_room:\n    ...")).also_by(Finder.EXPLORER),
    ends("advance wakes no ask", "advance", remove("_.wake()", 3)).also_by(Finder.EXPLORER),
    ends("advance wakes no ask for a buffered item", "advance", drop("_.items")).also_by(Finder.EXPLORER),
    ends("advance wakes no ask at the end", "advance", drop("_.is_over")).also_by(Finder.EXPLORER),
    ends("advance wakes no itemizer that was acknowledged before", "advance", remove("_.wake()", 1)),
)

TURNS: Final = (
    state("an ask takes although a turn is due", "ask", replace("not _1 and _2", "_2")),
    state("an item is accepted although a turn is due", "try_put", replace("len(_1) >= _2.high", "len(_1) >= _2.buffer")),
    sender(
        "midstream, an item is accepted although a turn is due", "_itemize", replace("len(_1) < _2.high", "len(_1) < _2.buffer")
    ),
    receiver(
        "midstream, an item is taken although a turn is due",
        "__anext__",
        replace("_1.low < len(_2) < _1.high", "0 < len(_2) < _1.high"),
    ),
    sender("a turn of the sender changes nothing", "_itemize", remove("_.took_turn()")),
    receiver("a turn of the receiver changes nothing", "__anext__", remove("_.took_turn()")),
    state("what was offered is taken without a turn", "ask", replace("_1 < _2 <= _.high", "_1 < _2")),
    state("what was emptied at once grows without a turn", "take_ready", remove("_.high = _")),
    ends("after a turn the buffer may not grow", "took_turn", remove("_.high = _")),
    ends("after a turn the buffer may not shrink", "took_turn", remove("_.low = _")),
    ends("the buffer may grow without a turn at first", "__init__", replace("min(_1, _)", "_1")),
    sender("a turn that is due binds the channel, sending", "_itemize", replace("turn()", "spin(_1)", 2, given="spin(_1)")),
    sender("only a full buffer makes an itemize wait", "_itemize", never("_.has_room")),
    receiver("only an empty buffer makes an ask wait", "__anext__", never("_.first is _", 2)),
    waiting("a wait after a turn that was due binds to no loop", "park", remove("if _.loop is None:\n    ...")),
)

CUT_SHORT: Final = (
    receiver("a new loop over a stream that was cut short is not refused", "__aiter__", never("_.was_cut_short")).also_by(
        Finder.EXPLORER
    ),
    ends("a stream that was closed before its block had ended counts as complete", "was_cut_short", drop("_ is EARLY")).also_by(
        Finder.EXPLORER
    ),
    ends(
        "a stream that was closed after its block had ended counts as complete", "was_cut_short", drop("_ is Closed.CUT_SHORT")
    ).also_by(Finder.EXPLORER),
    ends("a stream that failed counts as complete", "stop_receiving", drop("_ is FINISHED")).also_by(Finder.EXPLORER),
    ends("a stream with items in the buffer counts as complete", "stop_receiving", drop("not _.items")).also_by(Finder.EXPLORER),
    ends("a stream with itemizers that wait counts as complete", "stop_receiving", drop("_.first is None")),
    ends("a complete stream counts as cut short", "stop_receiving", replace("Closed.COMPLETE", "Closed.CUT_SHORT")).also_by(
        Finder.EXPLORER
    ),
    ends("a second close takes the place of the first", "stop_receiving", always("not _.closed")).also_by(Finder.EXPLORER),
)

REFUSAL: Final = (
    state(
        "after the block every closed channel says that it was closed",
        "refused_for_receiver",
        replace("_1 is EARLY", "_1 is not None"),
    ).also_by(Finder.EXPLORER),
    state(
        "after the block no closed channel says that it was closed", "refused_for_receiver", replace("_ is EARLY", "False")
    ).also_by(Finder.EXPLORER),
    ends(
        "a channel closed before its sender is opened forgets it",
        "stop_receiving",
        replace("_.closed = EARLY", "self.closed = Closed.CUT_SHORT", 1),
    ).also_by(Finder.EXPLORER),
    ends(
        "a channel closed during the block forgets it",
        "stop_receiving",
        replace("_.closed = EARLY", "self.closed = Closed.CUT_SHORT", 2),
    ).also_by(Finder.EXPLORER),
    ends("a receiver dropped before the sender is opened is not closed", "drop_receiver", remove("_.closed = EARLY")).also_by(
        Finder.EXPLORER
    ),
    state("an itemizer in the queue is let in after the end", "queue_sender", remove("_.refusal()")).also_by(Finder.EXPLORER),
)

OFFERED: Final = (
    state("in lock-step an item is offered to no ask", "has_room_behind", replace("_ < len(self.receivers)", "True")).also_by(
        Finder.EXPLORER
    ),
    state(
        "in lock-step two items are offered to one ask",
        "has_room_behind",
        replace("_1 < len(self.receivers)", "_1 <= len(self.receivers)"),
    ).also_by(Finder.EXPLORER),
    state("an offer goes beyond the buffer", "has_room_behind", replace("_1 < _2.buffer - _3", "_1 <= _2.buffer - _3")).also_by(
        Finder.EXPLORER
    ),
    state("an offered item waits for an acknowledgement", "queue_offer", remove("_.done = True")).also_by(Finder.EXPLORER),
    state("an offered item wakes no ask", "queue_offer", remove("_.advance()")).also_by(Finder.EXPLORER),
    state("an offered item passes those that wait for room", "try_offer", drop("_.first is None")).also_by(Finder.EXPLORER),
    state("what is offered behind an itemizer stays there when that has room", "may_return", remove("_.admit_offered()")),
    state("what is offered behind an itemizer stays there when that is cancelled", "withdraw", remove("_.admit_offered()")),
    state("what is offered behind an itemizer stays there when its item is taken", "take", remove("_.admit_offered()")),
    state("what is offered behind an itemizer counts twice", "admit_offered", remove("_.offered -= 1")),
    oldest("an offer waits for a turn that is due", "try_offer", always("_.first is None")),
    state("an offer after a close raises", "try_offer", never("_.refused_for_receiver")).also_by(Finder.EXPLORER),
    state("an offer after the block is refused in silence", "try_offer", always("_.refused_for_receiver")).also_by(Finder.EXPLORER),
    state("an offered item counts as one that waits", "queue_offer", remove("_.offered += 1")),
    state("an offered item that was taken still counts", "take", remove("_.offered -= 1")),
    state("an offered item is acknowledged as if it waited", "take", never("_.done")).also_by(Finder.EXPLORER),
    sender("an offer in another loop is accepted", "_offer", remove("_.check_loop()")),
    sender("a wrapped offer waits", "_itemize", never("offering and _")).also_by(Finder.EXPLORER),
    sender("a wrapped offer that is refused looks accepted", "_itemize", remove("await turn()", 1)).also_by(Finder.EXPLORER),
    sender("a wrapped offer that waits after it was accepted looks refused", "_itemize", remove("offering[_] = True")),
    in_sender("an eager task of a wrapper is part of the offer", "caller", drop("current_task()")).by_tests(),
    sender("a wrapped offer is not noted midstream", "_itemize", replace("not offering", "True")),
    offering("a wrapped offer that is refused is not taken back", "offer_through", remove("close(_)")),
    offering("a wrapped offer after a close raises", "offer_through", replace("return False", "raise", 1)),
    offering("after a wrapped offer every itemize is one", "offer_through", replace("offering.pop(_1)", "offering[_1]")).also_by(
        Finder.EXPLORER
    ),
    offering("a nested offer ends the one around it", "offer_through", remove("offering[_] = _", 2)),
    offering("an offer to a stream looks refused", "offer_through", remove("errors.offered_to_stream()")),
)

READY: Final = (
    state("take_ready passes those that ask", "take_ready", drop("_.first is not None")).also_by(Finder.EXPLORER),
    state("take_ready takes one too many", "take_ready", replace("len(_1) < _2", "len(_1) <= _2")).also_by(Finder.EXPLORER),
    state("take_ready takes all that is buffered", "take_ready", always("_ is None or _ >= len(_)")).also_by(Finder.EXPLORER),
    state("take_ready takes only what is buffered", "take_ready", remove("while _:\n    ...")).also_by(Finder.EXPLORER),
    state("take_ready leaves what it takes", "take_ready", remove("_.clear()")).also_by(Finder.EXPLORER),
    state("take_ready takes from the wrong end", "take_ready", replace("_1.popleft()", "_1.pop()")).also_by(Finder.EXPLORER),
    state("take_ready wakes none for the room", "take_ready", remove("_.advance()")).also_by(Finder.EXPLORER),
    state(
        "take_ready gives the end as an item", "take_ready", insert("_1.append(_2)", before="break", given="_1.append(_2)")
    ).also_by(Finder.EXPLORER),
    receiver("take_ready in another loop is accepted", "take_ready", remove("_.check_loop()")),
)

LOST: Final = (
    oldest("more is offered behind an itemizer than the buffer holds", "try_offer", never("_ >= self.buffer")),
    oldest("an offer that pushes another out goes without a word", "try_offer", remove("self.lose(_)")),
    oldest("an offer that pushes another out is not counted", "push_out", remove("self.dropped += 1")),
    oldest("the newest item is lost", "put", replace("_1.popleft()", "_1.pop()")).also_by(Finder.EXPLORER),
    oldest("a full buffer takes one more", "put", always("len(_) < _.buffer")).also_by(Finder.EXPLORER),
    oldest("an item that is lost is not counted", "put", remove("_.dropped += 1")).also_by(Finder.EXPLORER),
    oldest("an item that is lost goes without a word", "put", remove("_.lose(_)")).also_by(Finder.EXPLORER),
    oldest("on_drop is called before the new item is there", "put", swap("_.append(_)", "_.lose(_)")),
    oldest("an item in the place of the oldest wakes none", "put", remove("_.advance()")),
    oldest("an itemizer waits for room all the same", "has_room", replace("True", "super().has_room")).also_by(Finder.EXPLORER),
    oldest("a full buffer starves the event loop", "try_put", drop("_ >= MOST_WITHOUT_TURN")),
    oldest("a buffer that grows starves the event loop", "try_put", drop("_.high <= _ < _.buffer")),
    oldest("a new item passes those that wait for a turn", "try_put", drop("_.first is not None")),
    oldest("a full buffer needs a turn for each item after the first turn", "took_turn", remove("_.since_turn = 0")),
    oldest("an item in the place of the oldest counts for no turn", "put", remove("_.since_turn += 1")),
    oldest("an itemizer works after its block, losing the oldest", "try_put", drop("_.sending is not OPEN")).also_by(
        Finder.EXPLORER
    ),
    dropping("what a close leaves in the buffer goes without a word", "drop_all", remove("_.extend(_.items or _)")).also_by(
        Finder.EXPLORER
    ),
    dropping("what a close leaves of offered items goes without a word", "drop_all", remove("_.done")).also_by(Finder.EXPLORER),
    dropping("what itemizers wait with counts as lost", "drop_all", replace("_.done", "True")),
    dropping("what was left behind may be taken once more", "drop_all", remove("super().drop_all()")).also_by(Finder.EXPLORER),
    dropping(
        "a receiver that is dropped calls on_drop where it is",
        "drop_receiver",
        insert("self.drop_all()", after="_.stop_receiving()"),
    ),
    dropping("a receiver that is dropped forgets its items", "drop_receiver", always("_.on_drop is None")).also_by(Finder.EXPLORER),
    dropping("a receiver that is dropped keeps the error", "drop_receiver", remove("_.error = None")),
    dropping("on_drop is called in a loop that is closed", "lose", drop("_.is_closed()")),
    dropping("an error of on_drop leaves the step", "lose", insert("raise", after="_.call_exception_handler(_)")),
    dropping("an error of on_drop goes without a word", "lose", remove("_.call_exception_handler(_)")),
    dropping("a Ctrl-C in on_drop is swallowed", "lose", replace("raise", "pass")),
    dropping("a channel with on_drop binds when it first waits", "open", remove("_.bind_loop()")),
    ends("offered items that are left behind are not counted", "drop_all", remove("_.dropped += _.offered")),
    ends("offered items that are left behind count for ever", "drop_all", remove("_.offered = 0")),
    ends("buffered items that are left behind are not counted", "_drop_buffer", remove("_.dropped += len(_)")),
)

ACKNOWLEDGING: Final = (
    state(
        "the item that is taken is acknowledged in place of the one before",
        "take",
        swap("if self.awaiting_ack is not None:\n    ...", "if _.done:\n    ...\nelse:\n    ..."),
    ),
    state("an ask that finds an offered item acknowledges nothing", "take", never("if self.awaiting_ack is not None:\n    ...")),
    state("an acknowledgement wakes no itemizer", "_acknowledge", remove("_.wake()")).also_by(Finder.EXPLORER),
    state("an itemizer stays acknowledged", "_acknowledge", remove("_.awaiting_ack = None")),
    state("an itemizer that is cancelled is still acknowledged", "withdraw", remove("_.awaiting_ack = None")).also_by(
        Finder.EXPLORER
    ),
    ends("a close keeps the itemizer whose item was taken", "drop_all", remove("_.awaiting_ack = None")),
    ends("a close keeps the itemizers in the queue", "drop_all", replace("_1.clear() if _ else ()", "()")).also_by(Finder.EXPLORER),
    ends("a close keeps the items of the itemizers", "drop_all", remove("del _.item")),
    state("an error that an ask has raised has not surfaced", "end", remove("_.surfaced = True")).also_by(Finder.EXPLORER),
    ends(
        "an error has surfaced before an ask has raised it", "__init__", replace("_.surfaced = False", "self.surfaced = True")
    ).also_by(Finder.EXPLORER),
    state("an ask that waited for the failure keeps the error", "leave", remove("_.error = None")),
)

FLOW: Final = (*ADVANCING, *TURNS, *CUT_SHORT, *REFUSAL, *OFFERED, *READY, *LOST, *ACKNOWLEDGING)
