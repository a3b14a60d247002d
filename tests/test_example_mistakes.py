"""What goes wrong with a queue, and what the same does with a channel, as the programs tell it."""

from __future__ import annotations

import pytest

from tests.test_examples import EXAMPLES, run

pytestmark = pytest.mark.slow

CRASH = """\
With a queue:
  the sum of all prices is 30
  what nobody asks the task for: ValueError("invalid literal for int() with base 10: 'thirty'")
With a channel:
  there is no sum: ValueError("invalid literal for int() with base 10: 'thirty'")
"""

BREAK = """\
With a queue:
  the producer opens its file
  the consumer has found it, and leaves
  the consumer has gone on, the producer hangs
  at last somebody cancels it
  the producer closes its file
With a channel:
  the producer opens its file
  the consumer has found it, and leaves
  the producer closes its file
  the consumer has gone on
"""

TIMEOUT = """\
With a queue:
  taken: []
  left behind: ['late', 'but', 'not', 'lost']
With a channel:
  taken: ['late', 'but', 'not', 'lost']
"""


@pytest.mark.parametrize(("name", "output"), [("crash", CRASH), ("break", BREAK), ("timeout", TIMEOUT)])
def test_a_mistake_is_run_to_its_failure_and_then_corrected(name: str, output: str) -> None:
    """Rules 7 and 17, 9 and 17, 14 and 16."""
    assert run("-X", "dev", "-W", "error", EXAMPLES / f"mistake_{name}.py") == output
