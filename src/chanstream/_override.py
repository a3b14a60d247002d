"""`override`, which Python itself has from 3.12 on: to import typing-extensions takes half the time of importing this package."""

from __future__ import annotations

import sys

__all__ = ["override"]

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override
