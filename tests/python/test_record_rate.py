import unittest
from unittest import mock

import kept  # noqa: F401
from lib import record_rate
from lib.record_rate import NotYet


class Clock:
    """Both clocks of the machine; a step changes only the wall clock."""

    def __init__(self):
        self.monotonic, self.wall = 1000.0, 1500000000.0

    def goes_on(self, seconds, step=0.0):
        self.monotonic += seconds
        self.wall += seconds + step


class Rates(unittest.TestCase):
    def setUp(self):
        self.clock = Clock()
        for name, value in (("monotonic", lambda: self.clock.monotonic), ("time", lambda: self.clock.wall)):
            patch = mock.patch("time." + name, value)
            patch.start()
            self.addCleanup(patch.stop)
        for table in (record_rate._rates, record_rate._deltas, record_rate._last):
            table.clear()

    def rate(self, value, timestamp=None):
        now = int(self.clock.wall) if timestamp is None else timestamp
        return record_rate.ValueRate().record_value_rate("key", value, now)

    def test_the_first_rate_is_unknown_and_usable_in_arithmetic(self):
        first = self.rate(5)
        self.assertIsInstance(first, NotYet)
        self.assertEqual((first, first * 8, type(first * 8)), (0.0, 0.0, float))

    def test_a_rate_uses_the_elapsed_time(self):
        self.rate("10")
        self.clock.goes_on(4.4)
        self.assertEqual(self.rate(21), 2.5)

    def test_a_second_call_in_a_second_gives_the_last_result(self):
        self.rate(0)
        self.clock.goes_on(2)
        self.assertEqual((self.rate(10), self.rate(50)), (5.0, 5.0))
        self.clock.goes_on(2)
        self.assertEqual(self.rate(14), 2.0)

    def test_after_a_decrease_of_counter_or_clock_the_rate_is_unknown(self):
        self.rate(10)
        self.clock.goes_on(1)
        self.assertIsInstance(self.rate(5), NotYet)
        for step in (3600.0, -7200.0):
            self.clock.goes_on(1, step)
            self.assertIsInstance(self.rate(7), NotYet)
            self.clock.goes_on(1)
            self.assertEqual(self.rate(8), 1.0)
            self.clock.goes_on(1)
            self.rate(5)

    def test_timestamps_of_another_time_are_used(self):
        self.rate(10, 100)
        self.clock.goes_on(1)
        self.assertEqual(self.rate(40, 110), 3.0)

    def test_keys_are_separate_and_objects_are_shared(self):
        one, other = record_rate.ValueRate(), record_rate.ValueRate()
        one.record_value_rate("a", 1, self.clock.wall)
        one.update_timestamp(5)
        self.clock.goes_on(1)
        self.assertEqual(other.record_value_rate("a", 3, self.clock.wall), 2.0)
        self.assertIsInstance(other.record_value_rate("b", 3, self.clock.wall), NotYet)

    def test_changes(self):
        delta = record_rate.ValueRate().record_value_delta
        self.assertIsInstance(delta("a", 5), NotYet)
        self.assertEqual(delta("a", "7"), 2.0)
        self.assertIsInstance(delta("a", 3), NotYet)

    def test_the_previous_value(self):
        last = record_rate.GetPrevValue().return_last_value
        self.assertEqual([last("a", value) for value in ("x", 2, 3)], [0.0, "x", 2])
