"""Makers of producers that run calls, timers and sources side by side: ``channel.fed_by(mapped(urls, fetch, limit=20))``.

What each returns is an async function of an itemizer, for `Channel.fed_by`, `Channel.feed` and `stream` alike. They use channels by
their public names, as yours would, and need asyncio.

- A **source** is any AsyncIterable. A generator, given as source or made by its ``__aiter__``, is closed when the stage ends. A
  receiver is left open: its own block closes it.
- All tasks of a stage have ended when the stage has. Only the task of the stage itself calls the itemizer.
- A source that fails ends the stage with its error, after everything that had been read before it.
"""

from ._batched import batched
from ._in_pool import in_pool
from ._kept_alive import kept_alive
from ._mapped import mapped
from ._merged import merged

__all__ = ["batched", "in_pool", "kept_alive", "mapped", "merged"]

for _public in (batched, in_pool, kept_alive, mapped, merged):
    _public.__module__ = __name__
