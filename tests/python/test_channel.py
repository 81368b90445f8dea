import json
import os
import unittest
from unittest import mock

import kept  # noqa: F401
from lib import _channel


class Channel(unittest.TestCase):
    def sent(self, *messages):
        read, write = os.pipe()
        with mock.patch.object(_channel, "_number", write):
            _channel.send(*messages)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            return pipe.read().decode("utf-8").splitlines()

    def test_each_message_is_one_line(self):
        lines = self.sent({"says": "a\nb\r\u00e9"}, {"ready": True})
        self.assertEqual([json.loads(line) for line in lines], [{"says": "a\nb\r\u00e9"}, {"ready": True}])

    def test_lone_surrogates_become_question_marks(self):
        self.assertEqual([json.loads(line) for line in self.sent({"says": "a\udcffb"})], [{"says": "a?b"}])

    def test_a_forked_child_sends_nothing(self):
        read, write = os.pipe()
        with mock.patch.multiple(_channel, _number=write, _requests=None, _lock=_channel._lock):
            _channel._close()
            _channel.send({"says": "x"})
            self.assertIsNone(_channel.receive())
        os.close(write)
        self.assertEqual(os.read(read, 10), b"")
        os.close(read)
