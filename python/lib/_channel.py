"""The connection to the daemon: JSON lines over a separate descriptor, which print() and children do not use."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, BinaryIO, Dict, Optional

#: The first message of the daemon.
order: Dict[str, Any] = {}

_number: int = -1
_requests: Optional[BinaryIO] = None
_lock = threading.Lock()


def open_on_stdin() -> None:
    """Moves the socket away from standard input, and standard output to standard error, which goes to the log."""
    global _number, _requests
    _number = os.dup(0)
    _requests = os.fdopen(os.dup(0), "rb")
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    os.register_at_fork(after_in_child=_close)


def _close() -> None:
    """In a forked child: its output must not be taken for an answer."""
    global _number, _requests, _lock
    _number, _requests, _lock = -1, None, threading.Lock()


def begin(given: Dict[str, Any]) -> None:
    """Stores the first message of the daemon."""
    order.update(given)


def number() -> int:
    """The descriptor of the socket; -1 in a forked child."""
    return _number


def receive() -> Optional[Dict[str, Any]]:
    """The next request; `None` when the daemon has closed the connection."""
    line = _requests.readline() if _requests is not None else b""
    return json.loads(line) if line.endswith(b"\n") else None


def send(*messages: Dict[str, Any]) -> None:
    """Sends messages, one line each, without other messages between them."""
    text = "".join(json.dumps(message, ensure_ascii=False) + "\n" for message in messages)
    # A lone surrogate, which Python uses for undecodable file names, cannot be encoded as UTF-8.
    data = text.encode("utf-8", "replace")
    with _lock:
        while data and _number >= 0:
            data = data[os.write(_number, data) :]


def fault(text: str, item: str = "") -> None:
    """Reports an error, a line in the log that is folded when it repeats. `item` is the part that failed, if any."""
    send({"fault": text, "item": item})


def refuse(name: str, text: str) -> None:
    """Reports a value that is not a number; logged once."""
    send({"refused": name, "why": text})


def says(text: str) -> None:
    """Writes an ordinary line to the log."""
    send({"says": text})
