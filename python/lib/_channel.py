"""The way to the daemon: a JSON object a line, over a descriptor of its own that neither prints nor children reach."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, BinaryIO, Dict, Optional

#: What the daemon has said at the start.
order: Dict[str, Any] = {}

_number: int = -1
_requests: Optional[BinaryIO] = None
_lock = threading.Lock()


def open_on_stdin() -> None:
    """Moves the socket away from standard input; what is printed goes where complaints go, into the log."""
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
    """In a forked child: what it tells is nobody's answer."""
    global _number, _requests, _lock
    _number, _requests, _lock = -1, None, threading.Lock()


def begin(given: Dict[str, Any]) -> None:
    """Keeps what the daemon has said at the start."""
    order.update(given)


def number() -> int:
    """The descriptor."""
    return _number


def receive() -> Optional[Dict[str, Any]]:
    """The next request; `None` when there will be none."""
    line = _requests.readline() if _requests is not None else b""
    return json.loads(line) if line.endswith(b"\n") else None


def send(*messages: Dict[str, Any]) -> None:
    """Hands messages over, all at once."""
    text = "".join(json.dumps(message, ensure_ascii=False) + "\n" for message in messages)
    # Half a pair of UTF-16, as Python has it for a file name that is no text, is none that JSON can carry.
    data = text.encode("utf-8", "replace")
    with _lock:
        while data and _number >= 0:
            data = data[os.write(_number, data) :]


def fault(text: str, item: str = "") -> None:
    """Something is wrong: a line in the log, folded."""
    send({"fault": text, "item": item})


def refuse(name: str, text: str) -> None:
    """A number that is none: told once."""
    send({"refused": name, "why": text})


def says(text: str) -> None:
    """A line in the log that is no complaint."""
    send({"says": text})
