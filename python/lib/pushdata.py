"""Numbers and health events on their way to the daemon."""

from __future__ import annotations

import functools
import math
import os
from typing import Any, Dict, Iterable, Iterator, List, Optional

from lib import _channel, _faults, getconfig
from lib.record_rate import NotYet

hostname: str = os.environ.get("PUYPUY_HOSTNAME", "")
cluster_name: str = os.environ.get("PUYPUY_CLUSTER", "")
host_group: str = os.environ.get("PUYPUY_GROUP", "")
location: str = os.environ.get("PUYPUY_LOCATION", "")
tsdb_type: str = getconfig.config.get("TSDB", "tsdtype", fallback="Local")
tmpdir: str = getconfig.own("tmpdir", "var/tmp")
log_file: str = getconfig.own("log_file", "var/puypuy.log")
maxcache: int = getconfig.own_number("max_cache", 50000)

#: Names of this machine.
_OWN_NAMES = {"", hostname, os.uname().nodename, "localhost", "localhost.localdomain"}
_KINDS = {"rate": "rate", "counter": "counter", "percent": "percent"}
_PIECE = 500
#: Objects with points that were not sent yet.
_gathering: List[JonSon] = []


def _number(value: Any) -> Optional[float]:
    """The value as a float; `None` if it is not a number."""
    if isinstance(value, str) and "_" in value:
        return None
    try:
        number = float(value)
    except Exception:  # Number types of other packages raise other exceptions.
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    """The value as text; modules written for Python 2 may pass bytes."""
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def _named(value: Any) -> str:
    """The value for a message: short, and without object addresses, which differ from run to run."""
    if value is None or isinstance(value, (str, bytes, int, float)):
        try:
            return "the value %.60r" % (value,)
        except ValueError:  # An int with thousands of digits.
            pass
    return "a value of type %s" % type(value).__name__


@functools.lru_cache(maxsize=None)
def _full_name() -> str:
    import socket

    return socket.getfqdn()


def _is_other(host: str) -> bool:
    """Whether this names another machine. The name is resolved only if it may be the full name of this one."""
    if host in _OWN_NAMES:
        return False
    return host.partition(".")[0] != os.uname().nodename.partition(".")[0] or host != _full_name()


def _point(
    name: Any, timestamp: Any, value: Any, host: Any, check_type: Any, reaction: Any, kind: Any, tags: Any
) -> Optional[Dict[str, Any]]:
    """A point in the format of the daemon; `None` if there is nothing to send."""
    if isinstance(value, NotYet):
        return None
    number = _number(value)
    if number is None:
        _channel.refuse(_text(name), "%s is no number" % _named(value))
        return None
    time, react = _number(timestamp), _number(reaction)
    about = _text(host) if isinstance(host, (str, bytes)) else ""
    return {
        "name": _text(name),
        "value": number,
        "kind": _KINDS.get(_text(kind).lower(), "gauge"),
        "type": _text(check_type) or _channel.order.get("type", ""),
        "tags": {_text(key): _text(tag) for key, tag in tags.items()} if isinstance(tags, dict) else {},
        "reaction": int(react) if react is not None else 0,
        "host": about if _is_other(about) else None,
        "time": int(time) if time is not None else None,
    }


def _of_dict(data: Dict[str, Any], check_type: Any, host: Any = None) -> Optional[Dict[str, Any]]:
    if "name" not in data or "value" not in data:
        _channel.fault("a dict without name or value is left out; its keys: %.80s" % ", ".join(map(_text, data)))
        return None
    return _point(
        data["name"],
        data.get("timestamp"),
        data["value"],
        data.get("host", host),
        data.get("check_type") or check_type,
        data.get("reaction", 0),
        data.get("chart_type", "None"),
        data.get("extra_tag"),
    )


def _hand_over(points: Iterable[Dict[str, Any]]) -> None:
    """Sends points in pieces, so that the daemon reads one while the next is made; also those before an error."""
    piece: List[Dict[str, Any]] = []
    try:
        for point in points:
            piece.append({"point": point})
            if len(piece) == _PIECE:
                _channel.send(*piece)
                piece.clear()
    finally:
        _channel.send(*piece)


def _of_dicts(told: Iterable[Any], check_type: Any) -> Iterator[Dict[str, Any]]:
    for data in told:
        if isinstance(data, dict):
            point = _of_dict(data, check_type)
            if point is not None:
                yield point
        else:
            _channel.fault("what runcheck() returned holds %s, expected dicts" % _named(data))


def tell_returned(told: Any, check_type: Any) -> None:
    """Sends what `runcheck()` returned: dicts, or `None`."""
    if told is None:
        return
    if isinstance(told, dict):
        told = [told]
    if isinstance(told, (str, bytes)) or not hasattr(told, "__iter__"):
        _channel.fault("runcheck() returned %s, expected a list of dicts" % _named(told))
        return
    _hand_over(_of_dicts(told, check_type))


def hand_over_all() -> None:
    """Sends the points of objects on which the module did not call `put_json()`."""
    for data in list(_gathering):
        data.put_json()


class JonSon:
    """Collects points and sends them."""

    def __init__(self) -> None:
        self._points: List[Dict[str, Any]] = []

    def prepare_data(self) -> None:
        """Discards the collected points."""
        self._points = []

    def _gather(self, point: Optional[Dict[str, Any]]) -> None:
        if point is not None:
            self._points.append(point)
            if not any(known is self for known in _gathering):
                _gathering.append(self)

    def gen_data(
        self,
        name: Any,
        timestamp: Any,
        value: Any,
        tag_hostname: Any = None,
        tag_type: Any = None,
        cluster_name: Any = None,
        reaction: Any = 0,
        metric_type: Any = "None",
    ) -> None:
        """Adds a point."""
        self._gather(_point(name, timestamp, value, tag_hostname, tag_type, reaction, metric_type, None))

    def gen_data_json(self, data: Dict[str, Any], hostname: Any = None, cluster_name: Any = None) -> None:
        """Adds a point given as a dict, in the form that a module may return."""
        self._gather(_of_dict(data, None, hostname))

    def put_json(self, runscripts: bool = False) -> None:
        """Sends the collected points."""
        points, self._points = self._points, []
        _gathering[:] = [known for known in _gathering if known is not self]
        _hand_over(points)

    def send_special(
        self,
        module: Any,
        timestamp: Any,
        value: Any,
        error_msg: Any,
        mytype: Any,
        reaction: Any = 0,
        runscripts: bool = False,
    ) -> None:
        """Sends a health event."""
        level = _number(value)
        if level is None:
            level = {"OK": 0.0, "WARNING": 8.0}.get(_text(mytype).upper(), 16.0)
        react = _number(reaction)
        event = {"name": _text(module), "level": level, "message": _text(error_msg), "reaction": int(react or 0)}
        _channel.send({"event": event})


def print_error(module: Any, e: Any) -> None:
    """Writes an error to the log; `e` is an exception or a text."""
    _channel.fault(_faults.sentence(e) if isinstance(e, BaseException) else _text(e), _text(module))
