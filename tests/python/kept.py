"""Shared by the tests: `python` on the path, a configuration, and a channel that records messages."""

import os
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))
os.environ.update(PUYPUY_HOSTNAME="web1", PUYPUY_CLUSTER="c", PUYPUY_GROUP="g", PUYPUY_LOCATION="l")

import host  # noqa: E402, F401
from lib import _channel  # noqa: E402

HOME = tempfile.TemporaryDirectory()
_channel.begin({"home": HOME.name, "type": "own"})


class Kept(unittest.TestCase):
    """A test whose messages to the daemon are in `self.sent`."""

    def setUp(self):
        self.sent = []
        patch = mock.patch.object(_channel, "send", lambda *messages: self.sent.extend(messages))
        patch.start()
        self.addCleanup(patch.stop)

    def points(self):
        return [message["point"] for message in self.sent if "point" in message]

    def said(self):
        """The texts of the reported faults."""
        return [message.get("fault") or message.get("why") for message in self.sent if "point" not in message]
