"""Values that outlive a run. Each module has a process of its own, so they are private to it."""

from __future__ import annotations

from typing import Any, Dict

_values: Dict[Any, Any] = {}


def storevar(key: Any, value: Any) -> None:
    """Keeps a value."""
    _values[key] = value


def getvar(key: Any) -> Any:
    """The value that was kept; `None` where there is none."""
    return _values.get(key)
