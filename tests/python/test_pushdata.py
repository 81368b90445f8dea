import decimal
import fractions
import os
from unittest import mock

from kept import Kept
from lib import basecheck, pushdata, record_rate


class Float:
    """A number type of another package."""

    def __init__(self, number):
        self.number = number

    def __float__(self):
        return 1 / self.number


class Points(Kept):
    def told(self, value):
        pushdata.tell_returned([{"name": "n", "timestamp": 5, "value": value}], None)
        return [point["value"] for point in self.points()]

    def test_numbers_of_any_kind_are_floats(self):
        for value in (5, 5.0, "5", " 5\n", b"5", True + 4, decimal.Decimal(5), fractions.Fraction(5), Float(0.2)):
            with self.subTest(value):
                self.assertEqual(self.told(value)[-1], 5.0)
        self.assertEqual(self.told(2**70)[-1], float(2**70))

    def test_an_invalid_number_only_affects_itself_with_a_constant_message(self):
        none = (None, "", "nan", "1_000", "5%", float("inf"), [], object(), 10**400, 10**5000, 1j, Float(0))
        for value in none:
            with self.subTest(type(value)):
                self.assertEqual(self.told(value), [])
        said = self.said()
        self.assertEqual(len(said), len(none))
        self.assertIn("the value '5%' is no number", said)
        self.assertIn("a value of type object is no number", said)

    def test_an_unknown_rate_is_no_point_and_no_fault(self):
        self.assertEqual((self.told(record_rate.NotYet()), self.said()), ([], []))
        self.assertEqual(self.told(record_rate.NotYet() * 8), [0.0])

    def test_a_dict_has_defaults(self):
        pushdata.tell_returned({"name": "n", "value": 1}, None)
        self.assertEqual(
            self.points(),
            [
                {
                    "name": "n",
                    "value": 1.0,
                    "kind": "gauge",
                    "type": "own",
                    "tags": {},
                    "reaction": 0,
                    "host": None,
                    "time": None,
                }
            ],
        )

    def test_bytes_are_text(self):
        data = {"name": b"n\xc3\xa9", "value": 1, "check_type": b"t", "extra_tag": {b"k": b"v", "n": None, "i": 1}}
        pushdata.tell_returned([data], None)
        [point] = self.points()
        self.assertEqual((point["name"], point["type"], point["tags"]), ("n\u00e9", "t", {"k": "v", "n": "", "i": "1"}))

    def test_names_of_this_machine_are_not_another_host(self):
        node = os.uname().nodename
        full = "%s.example.org" % node.partition(".")[0]
        with mock.patch.object(pushdata, "_full_name", lambda: full):
            for host in (None, pushdata, "", "web1", "localhost", node, full):
                with self.subTest(host):
                    pushdata.tell_returned({"name": "n", "value": 1, "host": host}, None)
                    self.assertIsNone(self.points()[-1]["host"])
            for host in ("other", node.partition(".")[0] + ".elsewhere.org", b"other"):
                pushdata.tell_returned({"name": "n", "value": 1, "host": host}, None)
                self.assertEqual(self.points()[-1]["host"], host if isinstance(host, str) else "other")

    def test_names_of_other_hosts_are_not_resolved(self):
        with mock.patch.object(pushdata, "_full_name", side_effect=AssertionError):
            pushdata.tell_returned({"name": "n", "value": 1, "host": "nobody.example.org"}, None)

    def test_kinds_and_times(self):
        for given, kind in (("Rate", "rate"), ("counter", "counter"), ("Percent", "percent"), ("None", "gauge")):
            data = {"name": "n", "value": 1, "chart_type": given, "timestamp": "1500000000.9", "reaction": "-3"}
            pushdata.tell_returned(data, None)
            point = self.points()[-1]
            self.assertEqual((point["kind"], point["time"], point["reaction"]), (kind, 1500000000, -3))

    def test_a_result_that_is_no_dict_is_reported(self):
        for told, said in (
            ([7], "what runcheck() returned holds the value 7, expected dicts"),
            ([object()], "what runcheck() returned holds a value of type object, expected dicts"),
            ("text", "runcheck() returned the value 'text', expected a list of dicts"),
            (True, "runcheck() returned the value True, expected a list of dicts"),
            (object(), "runcheck() returned a value of type object, expected a list of dicts"),
            ([{"name": "n"}], "a dict without name or value is left out; its keys: name"),
        ):
            with self.subTest(said):
                self.sent.clear()
                pushdata.tell_returned(told, None)
                self.assertEqual((self.points(), self.said()), ([], [said]))

    def test_none_gives_no_points(self):
        for told in (None, [], (), iter([])):
            pushdata.tell_returned(told, None)
        self.assertEqual(self.sent, [])

    def test_a_generator_is_sent_in_pieces_up_to_its_error(self):
        def numbers():
            for number in range(1203):
                yield {"name": "n", "value": number}
                most = max(most_at_once, number + 1 - len(self.points()))
                self.assertLessEqual(most, pushdata._PIECE)
            raise ValueError

        most_at_once = 0
        with self.assertRaises(ValueError):
            pushdata.tell_returned(numbers(), None)
        self.assertEqual([point["value"] for point in self.points()], list(range(1203)))


class Pushing(Kept):
    def test_collected_points_are_sent_once(self):
        data = pushdata.JonSon()
        data.prepare_data()
        data.gen_data("a", 1, 2, pushdata, "t", "c", -1, "Rate")
        own = {"name": "b", "value": 3}
        data.gen_data_json(own, "web1", "c")
        own["value"] = 4
        self.assertEqual(self.sent, [])
        data.put_json()
        data.put_json(runscripts=True)
        pushdata.hand_over_all()
        self.assertEqual([(point["name"], point["value"]) for point in self.points()], [("a", 2.0), ("b", 3.0)])

    def test_points_not_pushed_are_sent_at_the_end_and_discarded_ones_are_not(self):
        one, other = pushdata.JonSon(), pushdata.JonSon()
        one.gen_data("a", 1, 2)
        other.gen_data("b", 1, 2)
        other.prepare_data()
        pushdata.hand_over_all()
        self.assertEqual([point["name"] for point in self.points()], ["a"])

    def test_events(self):
        data = pushdata.JonSon()
        for value, word, level in (
            (8, "x", 8.0),
            ("0", "x", 0.0),
            (None, "ok", 0.0),
            (None, b"WARNING", 8.0),
            ("?", "x", 16.0),
        ):
            data.send_special("Load", 1, value, b"words", word, "?")
            event = {"name": "Load", "level": level, "message": "words", "reaction": 0}
            self.assertEqual(self.sent[-1], {"event": event})

    def test_errors(self):
        pushdata.print_error("check_own", ValueError("x"))
        pushdata.print_error(None, "y")
        self.assertEqual(self.sent, [{"fault": "x (ValueError)", "item": "check_own"}, {"fault": "y", "item": ""}])


class Classes(Kept):
    def test_nothing_is_left_of_the_previous_run(self):
        class Check(basecheck.CheckBase):
            def precheck(self):
                self.local_vars.append({"name": "n", "value": 1})

        for _ in range(2):
            self.assertEqual(Check().runcheck(), [{"name": "n", "value": 1, "host": "web1"}])
        self.assertEqual(basecheck.CheckBase.local_vars, [])

    def test_a_module_may_override_methods(self):
        class Check(basecheck.CheckBase):
            def __init__(self):
                pass

            def precheck(self):
                self.local_vars = None

        self.assertIsNone(Check().runcheck())
