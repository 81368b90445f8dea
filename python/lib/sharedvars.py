"""Values that are kept between runs. Each module has its own process, so they are private to it."""

from __future__ import annotations

from typing import Any, Dict

_values: Dict[Any, Any] = {}


def storevar(key: Any, value: Any) -> None:
    """Stores a value."""
    _values[key] = value


def getvar(key: Any) -> Any:
    """The stored value; `None` if there is none."""
    return _values.get(key)
