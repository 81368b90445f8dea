"""The process in which one own module runs: imports it once, runs it at each request, and hands over what it tells.

The daemon sends this text and those of `lib` over standard input, so nothing of ours lies where others could change it.
Standard input is a socket: requests come over it, a JSON object a line, and answers go back the same way.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any, Dict, List, Optional, Sequence

#: Names of the original that are not ours, with what to use instead.
GONE = {
    "jolostart": "do_joloikia is not part of PuyPuy: use the built-in checks check_jolokia and check_jmx",
}


class Sources(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `lib` and what is in it, also by the bare names, in the texts that the daemon has sent."""

    def __init__(self, texts: Dict[str, str], home: str) -> None:
        self.texts = texts
        self.home = home

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname == "lib":
            spec = importlib.machinery.ModuleSpec(fullname, self, origin="puypuy/lib/__init__.py", is_package=True)
            # Helpers of the authors' own beside ours.
            spec.submodule_search_locations = [os.path.join(self.home, "lib")]
            return spec
        package, _, name = fullname.rpartition(".")
        if package in ("", "lib") and name in GONE:
            raise ImportError(GONE[name], name=fullname)
        if package == "lib" and name in self.texts:
            return importlib.machinery.ModuleSpec(fullname, self, origin="puypuy/lib/%s.py" % name)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Optional[ModuleType]:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__.rpartition(".")[2]
        text = self.texts.get(name, "") if module.__name__ != "lib" else ""
        exec(compile(text, "puypuy/lib/%s.py" % name, "exec"), module.__dict__)


def load(path: str) -> ModuleType:
    """Imports the module by its stem, from that path and no other."""
    stem = os.path.basename(path)[: -len(".py")]
    spec = importlib.util.spec_from_file_location(stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("%s cannot be imported" % path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[stem] = module
    spec.loader.exec_module(module)
    return module


def run(module: ModuleType) -> None:
    """Calls what the module has, in any of its forms, and takes what comes back."""
    from lib import pushdata

    kind = getattr(module, "Check", None)
    check_type = getattr(module, "check_type", None)
    if isinstance(kind, type) and hasattr(kind, "runcheck"):
        check = kind()
        check_type = getattr(check, "check_type", None) or check_type
        told: Any = check.runcheck()
    elif callable(getattr(module, "runcheck", None)):
        told = module.runcheck()
    else:
        raise AttributeError("it has neither a function runcheck() nor a class Check")
    pushdata.tell_returned(told, check_type)
    pushdata.hand_over_all()


def main(order: Dict[str, Any]) -> None:
    """The whole life of the process."""
    from lib import _channel, _faults

    path, home = order["module"], order["home"]
    enabled = os.path.dirname(path)
    os.chdir(enabled)
    sys.path[:0] = [home, enabled, os.path.join(home, "lib")]
    sys.argv = [path]
    _channel.open_on_stdin()
    _faults.own_file = path
    _channel.begin(order)
    for name in order["lib"]:
        part = importlib.import_module("lib." + name)
        # The folder `lib` itself was on the path.
        if not name.startswith("_"):
            sys.modules[name] = part
    own = os.getpid()
    faulthandler.enable()

    def attempt(limit: float, work: Any) -> Optional[str]:
        faulthandler.dump_traceback_later(limit, file=_channel.number())
        try:
            work()
            return None
        except BaseException as error:  # A module that calls sys.exit() shall not end its host.
            return _faults.sentence(error)
        finally:
            if os.getpid() != own:
                # A child that the module has forked and not ended: there is one host.
                os._exit(0)
            faulthandler.cancel_dump_traceback_later()
            sys.stdout.flush()
            sys.stderr.flush()

    loaded: List[ModuleType] = []
    failure = attempt(order["limit"], lambda: loaded.append(load(path)))
    _channel.send({"failed": failure} if failure is not None else {"ready": True})
    while loaded:
        request = _channel.receive()
        if request is None:
            break
        failure = attempt(request["limit"], lambda: run(loaded[0]))
        _channel.send({"done": request["tick"], "error": failure})
    # Threads of the module keep nobody waiting.
    os._exit(0)


if "ORDER" in globals():
    sys.meta_path.insert(0, Sources(globals()["ORDER"]["lib"], globals()["ORDER"]["home"]))
    main(globals()["ORDER"])
