"""Rates and previous values, by key, private to the module."""

from __future__ import annotations

import time
from typing import Any, Dict, Tuple

#: Difference between the elapsed times of two clocks, in seconds, above which the wall clock was set.
_APART = 2.0


class NotYet(float):
    """The rate is not known, or the counter was reset: 0.0 in arithmetic, and no point when used as a value."""


class _Sample:
    def __init__(self, value: float, stamp: float) -> None:
        self.value = value
        self.stamp = stamp
        self.at = time.monotonic()
        self.wall = time.time()

    def seconds_since(self, before: _Sample) -> float:
        """Seconds by the monotonic clock if both timestamps are current, else by timestamps; 0 if the clock was set."""
        elapsed = self.at - before.at
        if abs((self.wall - before.wall) - elapsed) > _APART:
            return 0.0
        is_now = abs(self.stamp - self.wall) < _APART and abs(before.stamp - before.wall) < _APART
        return elapsed if is_now else self.stamp - before.stamp


_rates: Dict[Any, Tuple[_Sample, float]] = {}
_deltas: Dict[Any, float] = {}
_last: Dict[Any, Any] = {}


class ValueRate:
    """Rates and changes of values. All objects share one table, as in the Python daemon."""

    def record_value_rate(self, key: Any, value: Any, timestamp: Any) -> float:
        """Change per second since the last call with this key, rounded to two decimals; `NotYet` if not known."""
        sample = _Sample(float(value), float(timestamp))
        known = _rates.get(key)
        if known is None:
            rate: float = NotYet()
        elif int(sample.stamp) == int(known[0].stamp):
            return known[1]
        else:
            seconds = sample.seconds_since(known[0])
            step = sample.value - known[0].value
            rate = NotYet() if seconds <= 0 or step < 0 else round(step / seconds, 2)
        _rates[key] = (sample, rate)
        return rate

    def record_value_delta(self, key: Any, value: Any) -> float:
        """Change since the last call with this key; `NotYet` if not known."""
        number = float(value)
        before = _deltas.get(key)
        _deltas[key] = number
        return NotYet() if before is None or number < before else number - before

    def update_timestamp(self, timestamp: Any) -> None:
        """Does nothing, as in the Python daemon."""


class GetPrevValue:
    """Previous values."""

    def return_last_value(self, key: Any, value: Any) -> Any:
        """The value of the last call with this key; 0.0 at first."""
        before = _last.get(key, 0.0)
        _last[key] = value
        return before
