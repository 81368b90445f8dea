"""What went wrong in a module, as one sentence with file and line; Python 2 is recognised."""

from __future__ import annotations

import os
import re
import sys
import traceback
from typing import Optional, Tuple

#: Path of the module that runs here.
own_file: str = ""

#: Modules that only Python 2 has, and where their content is.
_OLD_MODULES = {
    "ConfigParser": "configparser",
    "urllib2": "urllib.request",
    "urlparse": "urllib.parse",
    "httplib": "http.client",
    "StringIO": "io",
    "cStringIO": "io",
    "cPickle": "pickle",
    "Queue": "queue",
    "commands": "subprocess",
    "thread": "threading",
    "xmlrpclib": "xmlrpc.client",
}
#: Names and methods that only Python 2 has, and what stands for them.
_OLD_NAMES = {
    "xrange": "range",
    "unicode": "str",
    "basestring": "str",
    "long": "int",
    "raw_input": "input",
    "unichr": "chr",
    "reduce": "functools.reduce",
    "execfile": "exec",
    "file": "open",
    "cmp": "(a > b) - (a < b)",
    "xreadlines": "the file itself, as in `for line in open(path)`",
    "has_key": "`key in dict`",
    "iteritems": "items",
    "iterkeys": "keys",
    "itervalues": "values",
}
#: Packages of distributions.
_PACKAGES = {
    "MySQLdb": "python3-mysqldb",
    "mysql": "python3-mysql.connector",
    "pycurl": "python3-pycurl",
    "requests": "python3-requests",
    "pymysql": "python3-pymysql",
    "pymongo": "python3-pymongo",
    "psycopg2": "python3-psycopg2",
}


def sentence(error: BaseException) -> str:
    """What is said of an error: `line 12: division by zero (ZeroDivisionError)`, and of one in another file `helper.py:3: ...`."""
    name, line = _place(error)
    where = "line %d" % line if name == os.path.basename(own_file) else "%s:%d" % (name, line)
    old = _python2(error)
    if old:
        what, instead = old
        version = "%d.%d" % sys.version_info[:2]
        return "%s: is Python 2 (%s), and modules run with Python %s: %s" % (where, what, version, instead)
    if isinstance(error, SystemExit):
        return "%s: it called sys.exit(%r); return from runcheck() instead" % (where, error.code)
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.split(".")[0]
        remedy = "pip install it for that"
        if top in _PACKAGES:
            remedy = "apt-get install %s" % _PACKAGES[top]
        return "%s: %s has no module %s: %s, or set python in [SelfConfig] to that of a venv which has it" % (
            where,
            sys.executable,
            error.name,
            remedy,
        )
    text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    kind = type(error).__name__
    return "%s: %s (%s)" % (where, text[:300], kind) if text else "%s: %s" % (where, kind)


def _place(error: BaseException) -> Tuple[str, int]:
    """The innermost line of the module that has part in it; else where it happened."""
    if isinstance(error, SyntaxError) and error.filename:
        return os.path.basename(error.filename), error.lineno or 1
    name, line = os.path.basename(own_file), 1
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == own_file:
            line = frame.lineno or 1
    return name, line


def _python2(error: BaseException) -> Optional[Tuple[str, str]]:
    """What of it only Python 2 has, and what to write instead."""
    text = str(error)
    if isinstance(error, TabError):
        return "tabs and spaces mixed", "indent with spaces alone"
    if isinstance(error, SyntaxError):
        return _python2_syntax(text, (error.text or "").strip())
    if isinstance(error, ModuleNotFoundError) and error.name in _OLD_MODULES:
        return "import %s" % error.name, "import %s" % _OLD_MODULES[error.name]
    found = None
    if isinstance(error, NameError):
        found = re.search(r"name '(\w+)' is not defined", text)
    elif isinstance(error, AttributeError):
        found = re.search(r"has no attribute '(\w+)'", text)
    if found and found.group(1) in _OLD_NAMES:
        return found.group(1), "write %s" % _OLD_NAMES[found.group(1)]
    return None


def _python2_syntax(text: str, line: str) -> Optional[Tuple[str, str]]:
    if re.match(r"print\s+[^\s(=]|print\s*>>", line) or "call to 'print'" in text:
        return "print without parentheses", "write print(...)"
    if re.match(r"exec\s+[^\s(=]", line) or "call to 'exec'" in text:
        return "exec without parentheses", "write exec(...)"
    if re.match(r"except\s+[\w.()]+\s*,\s*\w+\s*:", line):
        return "except with a comma", "write `except Error as e:`"
    if re.match(r"raise\s+\w+\s*,", line):
        return "raise with a comma", "write raise Error(text)"
    if "leading zeros" in text or re.search(r"\b0[0-7]+\b", line) and "octal" in text:
        return "an octal number such as 0644", "write 0o644"
    if "<>" in line:
        return "<>", "write !="
    return None
