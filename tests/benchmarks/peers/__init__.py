"""The other libraries, each in a module of its own, used as its documentation says.

A library that isn't installed is named in the report. What it is installed as, and where its documentation is, is in its module.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Final

from tests.benchmarks.ways import Way

__all__ = ["MODULES", "load"]

MODULES: Final = {
    "anyio": "of_anyio",
    "trio": "of_trio",
    "sav.channels": "of_sav_channels",
    "aiochan": "of_aiochan",
    "aiochannel": "of_aiochannel",
    "asyncio-channel": "of_asyncio_channel",
    "janus": "of_janus",
    "culsans": "of_culsans",
    "aiostream": "of_aiostream",
}


def load() -> tuple[list[Way], dict[str, str | None]]:
    """The ways of the libraries that are installed, and the version of each library, or None."""
    ways: list[Way] = []
    versions: dict[str, str | None] = {}
    for distribution, name in MODULES.items():
        try:
            module = importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as missing:
            if (missing.name or "").startswith("tests."):
                raise
            versions[distribution] = None
        else:
            found: tuple[Way, ...] = module.WAYS
            ways += found
            versions[distribution] = version(distribution)
    return ways, versions
