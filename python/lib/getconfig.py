"""The daemon's configuration: `config.ini` and all `conf/*.ini` as one."""

from __future__ import annotations

import configparser
import glob
import os
import re
from typing import Any, Dict, List, Union

from lib import _channel


class _Places(configparser.Interpolation):
    """Replaces references to secrets, `file:/path` and `cred:NAME`, by their content, as the daemon does."""

    def before_get(self, parser: Any, section: str, option: str, value: Any, defaults: Any) -> Any:
        kind, _, name = str(value).partition(":")
        if kind == "file" and name.startswith("/") and "\n" not in name:
            return self._read(section, option, name)
        folder = _channel.order.get("credentials")
        if kind == "cred" and re.fullmatch(r"[\w-][\w.-]*", name, re.ASCII) and folder:
            return self._read(section, option, os.path.join(str(folder), name))
        if kind == "env" and re.fullmatch(r"\w+", name, re.ASCII):
            raise _unread(section, option, "the environment of the daemon is not given to modules; write file:/path")
        return value

    @staticmethod
    def _read(section: str, option: str, path: str) -> str:
        try:
            with open(path, encoding="utf-8") as file:
                return file.read().rstrip("\r\n")
        except (OSError, ValueError) as error:
            raise _unread(section, option, getattr(error, "strerror", None) or "it is no text in UTF-8") from None


def _unread(section: str, option: str, why: str) -> configparser.Error:
    return configparser.Error("[%s] %s: cannot be read from where it stands: %s" % (section, option, why))


#: As in the Python daemon: keys in lower case, and no `%(name)s` interpolation.
config = configparser.RawConfigParser(strict=False, interpolation=_Places())


def _read() -> None:
    home = str(_channel.order.get("home", "."))
    main = str(_channel.order.get("config") or os.path.join(home, "config.ini"))
    for path in sorted(glob.glob(os.path.join(home, "conf", "*.ini"))) + [main]:
        try:
            with open(path, encoding="utf-8-sig", errors="replace") as file:
                config.read_file(file, path)
        except (OSError, configparser.Error) as error:
            _channel.fault("%s is left out of `config`: %s" % (path, " ".join(str(error).split())))


def getparam(section: str, key: str) -> Union[str, bool]:
    """The value as text; True or False if it is exactly this word."""
    value = config.get(section, key)
    return {"True": True, "False": False}.get(value, value)


def getsection(section: str) -> List[str]:
    """The keys of a section."""
    return config.options(section)


def getsectionitems(section: str) -> Dict[str, str]:
    """The keys and values of a section."""
    return dict(config.items(section))


def own(key: str, default: str = "") -> str:
    """A value of [SelfConfig]."""
    return config.get("SelfConfig", key, fallback=default)


def own_number(key: str, default: int) -> int:
    """A number of [SelfConfig]; the default if it is not a number, which the daemon reports."""
    try:
        return int(own(key) or default)
    except ValueError:
        return default


_read()
