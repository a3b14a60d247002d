"""The library broken on purpose where a producer is run, cancelled and ended: `Channel.feed`, `Channel.fed_by` and their errors.

Those that a schedule shows have to be found by the explorer too. The default run of the tests has to find each.
"""

from __future__ import annotations

from typing import Final

from tests.breaking import Finder, Mistakes, always, drop, insert, never, remove, replace

__all__ = ["PRODUCERS"]

TESTS: Final = frozenset({Finder.TESTS})
BOTH: Final = frozenset({Finder.EXPLORER, Finder.TESTS})

run = Mistakes("_feed.py", "ProducerRun", BOTH)
feeding = Mistakes("_feed.py", "Feeding", BOTH)
block = Mistakes("_fed_block.py", "FedBlock", BOTH)
in_block = Mistakes("_fed_block.py", "", BOTH)
failures = Mistakes("_failures.py", "", BOTH)
cancellation = Mistakes("_cancellation.py", "", BOTH)
ends = Mistakes("_ends.py", "ChannelEnds", BOTH)
producer = Mistakes("_producer.py", "", TESTS)
sender = Mistakes("sender.py", "Sender", TESTS)

CANCELLING: Final = (
    ends("a closed receiver does not cancel the producer", "notify_end", remove("_.on_receiver_gone()")),
    run("the producer is not told of a closed receiver", "in_block", remove("_.on_receiver_gone = self.receiver_gone")),
    run("a run that has ended is still told of a closed receiver", "in_block", remove("self._task = _.on_receiver_gone = None")),
    run("a receiver that is closed before starts the producer", "in_block", always("not _.closed")),
    run("a producer that another cancels is cancelled twice", "receiver_gone", never("_.cancelling() > _")),
    run("a producer is cancelled once more when its block is left", "cancel", always("not _")),
    run("a cancellation of the producer's own is not waited for", "receiver_gone", remove("_.call_later(_, _)")),
    run(
        "a cancellation that was there before keeps the producer",
        "receiver_gone",
        replace("_ > self._cancelling", "_0 or self._cancelling"),
    ).by_tests(),
    run("the cancellation by the block is not taken back", "_take_back", remove("_.uncancel()")),
    run("the cancellation by the block comes after its end", "_take_back", remove("await turn()")).by_tests(),
    run(
        "a cancellation from elsewhere that came with the end is lost", "_take_back", replace("return _1", "return None", 1)
    ).by_tests(),
    run("a cancellation from elsewhere counts as that of the block", "_end", replace("_ > self._cancelling", "False")),
    run("the cancellation by the block counts as one from elsewhere", "_end", replace("_ > self._cancelling", "True")),
    run("a quiet end hides a cancellation from elsewhere", "_end", remove("raise _ or replaced_cancellation(_)")).by_tests(),
    run("a cancellation from elsewhere that an error takes the place of is lost", "_end", remove("cancel_again(...)")).by_tests(),
    run("the cancellation by the block leaves it", "_end", replace("_1 or not self._has_cancelled", "True")),
    run("a cancellation from elsewhere stays in the block", "_end", replace("_1 or not self._has_cancelled", "_1 and False")),
    run("a producer that is thrown away awaits something", "_end", drop("not isinstance(_, GeneratorExit)")).by_tests(),
    cancellation(
        "a cancellation that an error took the place of is not looked for", "replaced_cancellation", remove("while _:\n    ...")
    ).by_tests(),
)

ENDING: Final = (
    run("a StopIteration of the producer stays one", "in_block", replace("errors.producer_stopped(_1)", "_1")),
    run("an error of the producer does not end the stream", "_end", replace("_1.end_block(_2)", "_1.end_block(None)")),
    run("an error of the producer stays in the block", "_end", remove("raise _", 2)),
    run("a run outside of a task goes on without one", "in_block", never("_ is None", 1)).by_tests(),
    run("a receiver that another thread drops goes unnoticed", "open", remove("_.bind_loop()")).by_tests(),
    feeding("a feed that is cancelled before it begins goes unnoticed", "_ends_by", remove("self._end_unbegun(_)")),
    feeding("a feed that is thrown away before it begins goes unnoticed", "__del__", remove("self._drop_unbegun()")),
    feeding("a feed that has begun is ended as if it had not", "send", remove("self._begun = True")).by_tests(),
    run("a feed that is thrown away ends the block of another", "drop_unbegun", drop("_ is UNOPENED")).by_tests(),
    run("a cancellation that the producer took back is taken back twice", "_take_back", always("_ > _")).by_tests(),
    run("a feed that can't begin ends the block of another", "end_unbegun", replace("return", "pass")).by_tests(),
    run("a feed that never began leaves the stream open", "end_unbegun", remove("_.end_block(_)")),
    run("a feed that is thrown away tells no loop", "drop_unbegun", remove("_.notify_end_in_loop()")),
)

BLOCKS: Final = (
    block("a block that is lost keeps its producer running", "__del__", remove("self._lose(_)")),
    block("an error that has surfaced is reported as lost", "_lose", remove("_.exception()")),
    block(
        "a lost block interrupts the cleanup of its producer",
        "_lose",
        replace("_1.get_loop().call_soon_threadsafe(_)", "_1.get_loop().call_soon_threadsafe(_1.cancel)"),
    ).by_tests(),
    block(
        "a generator that the producer's task collects is not closed",
        "_leave",
        replace("not _ or current_task() is _", "True"),
    ).by_tests(),
    block("a coroutine that is thrown away waits", "_leave", drop("closes_generator(_)")).by_tests(),
    block("a coroutine that is thrown away while no task runs waits", "_is_collected", drop("_ is None")).by_tests(),
    block("a generator that is collected doesn't wait", "_leave", replace("closes_generator(_)", "False")).by_tests(),
    in_block("a producer whose loop is closed is reported", "keep", remove("setattr(...)")).by_tests(),
    sender("a producer is cancelled in its cleanup after a drop", "_itemize", remove("await turns_to_be_cancelled()")),
    block("a block that was left can be left again", "_leave", remove("self._task = None")).by_tests(),
    block("a block can be left before it is entered", "_leave", remove("errors.not_entered(_)")).by_tests(),
    block("a producer may leave its own block", "_leave", replace("_ in own_blocks.get()", "False")).by_tests(),
    in_block("a producer does not know its own block", "run_alone", remove("own_blocks.set(_)")).by_tests(),
    in_block(
        "a producer knows only the innermost of its blocks", "run_alone", replace("(*own_blocks.get(), _1)", "(_1,)")
    ).by_tests(),
    in_block("a running producer is kept by none", "keep", remove("running.add(_)")).by_tests(),
    in_block("a producer that has ended is kept for ever", "ended", remove("running.discard(_)")).by_tests(),
    block("a producer whose loop is closed is kept for ever", "_lose", remove("running.discard(_)")).by_tests(),
    block("a block that is closed in another loop leaves its producer", "_leave", remove("self._lose(_)")).by_tests(),
    block("a producer that has swallowed a cancellation goes on after its block", "__aexit__", remove("_.cancel(_)")).by_tests(),
    block("a block that failed hides a cancellation", "_raise", remove("cancel_again(...)")).by_tests(),
    block("a cancellation that comes while a block is left is lost", "_raise", replace("_ is not None and not _", "False")),
    block(
        "a cancellation that comes while a block is left hides an error",
        "_raise",
        insert("if _1 is not None:\n    raise _1", before="raise_failures(...)", given="_1 is not None or _"),
    ),
    block("every error of a producer counts as surfaced", "__aexit__", replace("_.surfaced", "True")),
    block(
        "a cancelled producer ends its block without a word",
        "__aexit__",
        replace("_ if _ is FAILED else None", "None"),
    ),
    run("the task of a producer has any name", "in_block", remove("_.set_name(_)")).by_tests(),
    producer("a task is named after all that its function is in", "name_of", replace("_1.replace(...)", "_1")),
    producer("a partial has no name of its function", "name_of", replace("(_1, _2)", "(_1,)")),
)

FAILING: Final = (
    failures(
        "an error that was raised on leaves as SenderFailed",
        "what_failed",
        replace("_1 if not _ or _ else _", "_1"),
    ),
    failures("an error that has surfaced takes the place of the body's own", "what_failed", replace("only_reports(...)", "True")),
    failures(
        "an error that has surfaced and was handled leaves all the same",
        "what_failed",
        replace("_ and only_reports(...)", "True"),
    ),
    failures("a cancelled producer cancels the body", "what_failed", replace("errors.sender_failed(_, _1)", "_1")),
    failures("a cancelled producer is reported anew", "what_failed", replace("_ and isinstance(_, SenderFailed)", "False")),
    failures(
        "a body that is cancelled has failed", "what_failed", replace("isinstance(_1, CancelledError | GeneratorExit)", "False")
    ),
    failures("an error that the body only passes on comes beside it", "what_failed", never("_ <= _", 1)).by_tests(),
    failures("an error that passes on the body's comes beside it", "what_failed", never("_ <= _", 2)).by_tests(),
    failures("the error of the body is lost beside that of the producer", "what_failed", replace("[*_1, _2]", "[_2]")),
    failures("an error leaves in a group of its own", "raise_failures", replace("len(_) > 1", "True")),
    failures("two errors leave as one", "raise_failures", replace("len(_) > 1", "False")),
    failures("an error that leaves is its own context", "raise_failures", remove("_.__context__ = _")).by_tests(),
    failures("the error of the body is raised once more", "raise_failures", replace("_1 is not _2", "True")).by_tests(),
    failures("a group with an error of the body's own is a report", "only_reports", remove("return False")).by_tests(),
    failures("an error is looked at as often as it is reported", "only_reports", remove("_.add(_)")).by_tests(),
    failures("a group is an error of its own", "reported_by", remove("return _.exceptions")).by_tests(),
    failures("a SenderFailed is an error of its own", "reported_by", replace("(_.__cause__,)", "()")),
)

PRODUCERS: Final = (*CANCELLING, *ENDING, *BLOCKS, *FAILING)
