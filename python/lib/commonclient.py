"""Simple HTTP and TCP clients. An error is written to the log, and the result is `None`."""

from __future__ import annotations

import functools
import socket
from typing import TYPE_CHECKING, Any, Optional, Union

from lib import _channel, getconfig

if TYPE_CHECKING:
    import ssl

_HTTP_SECONDS = 10
_TCP_SECONDS = 5


@functools.lru_cache(maxsize=None)
def _context() -> ssl.SSLContext:
    """The TLS settings; loaded once, because loading the certificates is slow."""
    import ssl

    context = ssl.create_default_context()
    if getconfig.own("modules_verify", "True").lower() in ("false", "no", "off", "0"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _ask(name: str, url: str, auth: Optional[str], headers: Optional[str], body: Optional[bytes]) -> Optional[str]:
    # Needs some megabytes, so it is imported only when it is used.
    import base64
    import urllib.request

    try:
        request = urllib.request.Request(url, data=body)
        if body is not None:
            request.method = "POST"
        if auth:
            request.add_header("Authorization", "Basic " + base64.b64encode(auth.encode()).decode())
        if headers:
            key, _, value = headers.partition(":")
            request.add_header(key.strip(), value.strip())
        context = _context() if url.startswith("https") else None
        with urllib.request.urlopen(request, timeout=_HTTP_SECONDS, context=context) as answer:
            page: bytes = answer.read()
        return page.decode("latin-1")
    except (OSError, ValueError) as error:
        # There may be a password before the @.
        shown = url.split("?")[0].rsplit("@", 1)[-1]
        _channel.fault("%s: %s" % (shown, error), str(name))
        return None


def httpget(name: str, url: str, auth: Optional[str] = None, headers: Optional[str] = None) -> Optional[str]:
    """GET: the body as Latin-1 text; `None` after an error."""
    return _ask(name, url, auth, headers, None)


def httppost(
    name: str,
    url: str,
    auth: Optional[str] = None,
    headers: Optional[str] = None,
    payload: Union[str, bytes, None] = None,
) -> Optional[str]:
    """POST: the body as Latin-1 text; `None` after an error."""
    body = payload.encode() if isinstance(payload, str) else payload
    return _ask(name, url, auth, headers, body or b"")


def socketget(name: str, buff: Any, host: str, port: Any, message: Union[str, bytes]) -> Optional[str]:
    """Sends the message and returns one read of at most `buff` bytes; `None` after an error."""
    try:
        with socket.create_connection((host, int(port)), timeout=_TCP_SECONDS) as connection:
            connection.sendall(message.encode() if isinstance(message, str) else message)
            return connection.recv(int(buff)).decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        _channel.fault("%s:%s: %s" % (host, port, error), str(name))
        return None
