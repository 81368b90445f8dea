"""The process that runs one Python module: imports it once, runs it at each request, and sends its points.

The daemon sends this source and that of `lib` over standard input, so they are in no file that others could change.
Standard input is a socket: requests arrive on it, one JSON object per line, and answers are sent back the same way.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import stat
import sys
from types import CodeType, ModuleType
from typing import Any, Callable, Dict, List, Optional, Sequence

#: Modules of the Python daemon that do not exist here, with their replacement.
GONE = {
    "jolostart": "do_joloikia is not part of PuyPuy: use the built-in checks check_jolokia and check_jmx",
}


class Sources(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports `lib` and its modules, also without the prefix `lib.`, from the sources that the daemon has sent."""

    def __init__(self, texts: Dict[str, str], home: str) -> None:
        self.texts = texts
        self.home = home

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname == "lib":
            spec = importlib.machinery.ModuleSpec(fullname, self, origin="puypuy/lib/__init__.py", is_package=True)
            # The user's own modules in the folder `lib` are found, too.
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


def refuse_for_root(path: str) -> None:
    """Raises ImportError if root would run a file that others can change, directly or by a folder or link."""
    way, steps = "", path.split("/")[::-1] if os.geteuid() == 0 else []
    while steps:
        step = steps.pop()
        if step == "..":
            way = os.path.dirname(way)
        if step in ("", ".", ".."):
            continue
        place = "%s/%s" % (way, step)
        about = os.lstat(place)
        is_link = stat.S_ISLNK(about.st_mode)
        # In a sticky folder such as /tmp users cannot remove the files of others.
        is_kept = stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX
        if about.st_uid != 0 or (about.st_mode & 0o022 and not is_link and not is_kept):
            raise ImportError(
                "%s can be changed by others than root, who runs it; chown root and chmod go-w, or set run_user" % place
            )
        if is_link:
            target = os.readlink(place)
            steps += target.split("/")[::-1]
            way = "" if target.startswith("/") else way
        else:
            way = place


class AsWritten(importlib.machinery.SourceFileLoader):
    """Compiles the current source, and never uses a compiled file (`__pycache__`)."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        refuse_for_root(path)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class Compiled(importlib.machinery.ExtensionFileLoader):
    """Loads extension modules, which root only loads if nobody else can change them."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        refuse_for_root(self.path)
        return super().create_module(spec)


def in_the_home(home: str) -> Callable[[str], importlib.abc.PathEntryFinder]:
    """A path hook for imports from the home folder, except from a virtual environment in it."""
    find = importlib.machinery.FileFinder.path_hook(
        (Compiled, importlib.machinery.EXTENSION_SUFFIXES), (AsWritten, importlib.machinery.SOURCE_SUFFIXES)
    )

    def hook(folder: str) -> importlib.abc.PathEntryFinder:
        outside = [sys.prefix] if is_below(sys.prefix, home) else []
        if not is_below(folder, home) or any(is_below(folder, place) for place in outside):
            raise ImportError("%s is another's to find" % folder, path=folder)
        return find(folder)

    return hook


def is_below(path: str, folder: str) -> bool:
    """Whether the path is the folder or below it."""
    return (path + "/").startswith(folder.rstrip("/") + "/")


def load(path: str) -> ModuleType:
    """Imports the module from exactly this path, under its file name without `.py`."""
    stem = os.path.basename(path)[: -len(".py")]
    spec = importlib.util.spec_from_file_location(stem, path, loader=AsWritten(stem, path))
    if spec is None or spec.loader is None:
        raise ImportError("%s cannot be imported" % path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[stem] = module
    spec.loader.exec_module(module)
    return module


def run(module: ModuleType, pushdata: ModuleType) -> None:
    """Calls `runcheck()` of the module, or else of its class `Check`, and sends the result."""
    kind = getattr(module, "Check", None)
    check_type = getattr(module, "check_type", None)
    if callable(getattr(module, "runcheck", None)):
        told: Any = module.runcheck()
    elif isinstance(kind, type) and hasattr(kind, "runcheck"):
        check = kind()
        check_type = getattr(check, "check_type", None) or check_type
        told = check.runcheck()
    else:
        raise AttributeError("it has neither a function runcheck() nor a class Check")
    pushdata.tell_returned(told, check_type)
    pushdata.hand_over_all()


def main(order: Dict[str, Any]) -> None:
    """Imports the module, then serves requests until the daemon closes the socket."""
    from lib import _channel, _faults

    path, home = order["module"], order["home"]
    enabled = os.path.dirname(path)
    os.chdir(enabled)
    sys.path[:0] = [home, enabled, os.path.join(home, "lib")]
    sys.path_hooks.insert(0, in_the_home(home))
    sys.argv = [path]
    _channel.open_on_stdin()
    _faults.own_file = path
    _channel.begin(order)
    from lib import pushdata

    for name in order["lib"]:
        part = importlib.import_module("lib." + name)
        # The Python daemon had the folder `lib` on the path, so modules import its parts by bare name.
        if not name.startswith("_"):
            sys.modules[name] = part
    own = os.getpid()
    faulthandler.enable()

    def attempt(limit: float, work: Any) -> Optional[str]:
        faulthandler.dump_traceback_later(limit, file=_channel.number())
        try:
            work()
            return None
        except BaseException as error:  # A module that calls sys.exit() must not end this process.
            return _faults.sentence(error)
        finally:
            if os.getpid() != own:
                # A child that the module has forked must not continue as a second host.
                os._exit(0)
            faulthandler.cancel_dump_traceback_later()
            for stream in (sys.stdout, sys.stderr):
                # The module may have replaced the stream by anything.
                with contextlib.suppress(Exception):
                    stream.flush()

    loaded: List[ModuleType] = []
    failure = attempt(order["limit"], lambda: loaded.append(load(path)))
    _channel.send({"failed": failure} if failure is not None else {"ready": True})
    while loaded:
        request = _channel.receive()
        if request is None:
            break
        failure = attempt(request["limit"], lambda: run(loaded[0], pushdata))
        _channel.send({"done": request["tick"], "error": failure})
    # Does not wait for threads of the module.
    os._exit(0)


if "ORDER" in globals():
    sys.meta_path.insert(0, Sources(globals()["ORDER"]["lib"], globals()["ORDER"]["home"]))
    main(globals()["ORDER"])
