"""The scenarios, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from tests.soak.collector import collected_elsewhere
from tests.soak.crowds import channels, receivers, senders
from tests.soak.flow import FLOWS, cut_short, short_lived
from tests.soak.pipelines import fed_by_stages, stages
from tests.soak.setting import Account, Setting
from tests.soak.storm import storm

__all__ = ["SCENARIOS", "Scenario"]

Scenario: TypeAlias = Callable[[Setting], Awaitable[Account]]

SCENARIOS: Final[dict[str, Scenario]] = {
    **FLOWS,
    "short-lived": short_lived,
    "cut-short": cut_short,
    "storm": storm,
    "collector": collected_elsewhere,
    "senders": senders,
    "receivers": receivers,
    "channels": channels,
    "stages": stages,
    "stages-fed-by": fed_by_stages,
}
