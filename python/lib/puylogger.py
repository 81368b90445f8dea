"""Lines for the daemon's log."""

from __future__ import annotations

from typing import Any

from lib import _channel, getconfig

debug_log: bool = getconfig.own("debug_log").lower() in ("true", "yes", "on", "1")


def print_message(*args: Any) -> None:
    """Writes the arguments as one line, separated by spaces."""
    _channel.says(" ".join(str(arg) for arg in args))


def print_raw_message(message: Any) -> None:
    """Writes the text as one line."""
    _channel.says(str(message))
