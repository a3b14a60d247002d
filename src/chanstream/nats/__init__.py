"""Streams between machines, over a NATS server: `serve` is a consumer, `ask_for` a producer. The stages stay as they are.

Needs nats-py: ``pip install 'chanstream[nats]'``. On the machine of the source, and on every machine that takes part in the work::

    await serve(rows, client, "rows", encode)

    async with Channel[Row]().fed_by(ask_for, client, "rows", decode) as rows: ...

An ask is a request, and an item is its reply. The items are sent as `encode` returns them, and nothing is added: each may be as
large as the broker's ``max_payload``. A process that asks first gets the address of one call of `serve`, and then asks only that.
It numbers its asks and repeats those that are not answered, and `serve` repeats the answer. So what a broker or a network loses is
asked for again, **no item comes twice**, and a `serve` that was started again is never taken for the one before. The broker reports
that a process has died by "no responders". Both processes use one account of the broker.

What is weaker than in one event loop:

- **Rules 1 and 4** (order, several tasks): each process gets its items in order, and processes are served in the order in which
  their asks arrive. A process that was silent for two seconds loses its place. An item that a process gives back, because it
  leaves, may come after later ones.
- **Rule 2** (lock-step) holds, from one ask to the next. An item is taken when `serve` answers with it.
- **Rules 6 and 7** (end and failure) hold: `serve` returns, or raises, when each process that asked and is alive has been notified.
  An error crosses as its text, in `RemoteFailed`. A process that begins to ask after that gets `RemoteGone`.
- **Rules 9 and 10** (leaving): a process that leaves gives back an item that it has not passed on. When the last one leaves,
  `serve` returns, and what was given back is dropped. If the broker fails at that moment, `serve` may not learn that the process
  has left: it then goes on, until another process leaves.
- **Rule 13** (dropped ends): when a **serving** process dies, `ask_for` raises `RemoteGone` in less than five seconds, or 1.5 more
  than the `patience` that it was given. The item on its way is lost, with what was not taken. When an **asking** process dies, at
  most one item is lost: the one that it works on, or that was sent to it in the last two seconds. `serve` then waits for other
  processes. That a machine has failed, or a process is suspended, the broker notices only by its own pings, after minutes. Until
  then the process is waited for.
- **Rules 14 to 16** (cancellation): to cancel `ask_for` is to leave. To cancel `serve` fails the stream.
- **Rule 19**: a client belongs to one event loop, and so do `serve` and `ask_for`.
"""

from importlib.util import find_spec

from ._errors import RemoteFailed, RemoteGone, not_installed

if find_spec("nats") is None:
    raise not_installed()

from ._asking import ask_for
from ._serving import serve

__all__ = ["RemoteFailed", "RemoteGone", "ask_for", "serve"]

for _public in (RemoteFailed, RemoteGone, ask_for, serve):
    _public.__module__ = __name__
