"""The daemon's configuration: `config.ini` and all `conf/*.ini` as one."""

from __future__ import annotations

import configparser
import glob
import os
from typing import Dict, List, Union

from lib import _channel

#: As the original had it: no interpolation, keys in lower case.
config = configparser.RawConfigParser(strict=False)


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
    """The value as text; True or False where it is exactly that word."""
    value = config.get(section, key)
    return {"True": True, "False": False}.get(value, value)


def getsection(section: str) -> List[str]:
    """The keys of a section."""
    return config.options(section)


def getsectionitems(section: str) -> Dict[str, str]:
    """Keys and values of a section."""
    return dict(config.items(section))


def own(key: str, default: str = "") -> str:
    """A value of [SelfConfig]."""
    return config.get("SelfConfig", key, fallback=default)


def own_number(key: str, default: int) -> int:
    """A number of [SelfConfig]; the daemon tells of one that is none."""
    try:
        return int(own(key) or default)
    except ValueError:
        return default


_read()
