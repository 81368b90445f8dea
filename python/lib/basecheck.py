"""The base class for modules that define a class `Check`."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional

from lib import getconfig, pushdata, record_rate


class CheckBase:
    """A check: its author writes `precheck`, which appends dicts to `local_vars`."""

    check_type: Optional[str] = None
    values_type: str = "None"
    local_vars: List[Dict[str, Any]] = []
    rate = record_rate.ValueRate()
    last = record_rate.GetPrevValue()
    jsondata = pushdata.JonSon()
    metrics: List[Any] = []

    def __init__(self) -> None:
        self.cluster_name = pushdata.cluster_name
        self.host_group = pushdata.host_group
        self.location = pushdata.location
        self.error_handler = getconfig.own_number("error_handler", 2)
        self.timestamp = int(time.time())

    def info(self) -> str:
        """The docstring of the class."""
        return self.__doc__ or ""

    def precheck(self) -> None:
        """To be overridden."""

    def runcheck(self) -> List[Dict[str, Any]]:
        """Runs `precheck` and returns the dicts that it appended."""
        self.local_vars = []
        self.precheck()
        for data in self.local_vars or []:
            if isinstance(data, dict):
                data.setdefault("host", pushdata.hostname)
        return self.local_vars
