"""A plugin of pytest: what Hypothesis has found to fail is not made small, nor explained."""

from __future__ import annotations

import hypothesis

__all__ = ["pytest_configure"]


def pytest_configure() -> None:
    # Before the tests are imported, which derive their settings from this.
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("unshrunk", phases=phases)
    hypothesis.settings.load_profile("unshrunk")
