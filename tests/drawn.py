"""How much the tests draw with Hypothesis.

The environment variable CHANSTREAM_EXAMPLES multiplies how many examples the tests draw: 10 for a long run, 0.1 for a look. Without
it, ``pytest`` draws a fifth of them, and ``pytest --full`` all.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

__all__ = ["examples", "share_of"]


def share_of(count: int) -> int:
    """Return how many of what are `count` in a full run."""
    return max(1, round(count * float(os.environ.get("CHANSTREAM_EXAMPLES", "1"))))


def examples(count: int) -> settings:
    """Settings for a test that draws `count` examples in a full run."""
    # Not derandomized, on a build server neither: every run looks at other examples, and a failure prints how to replay it.
    return settings(
        max_examples=share_of(count),
        deadline=None,
        derandomize=False,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
