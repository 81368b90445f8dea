"""Error messages for exceptions in a module, with file and line; code for Python 2 is recognised."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import traceback
from typing import Optional, Tuple

#: Path of the module that runs in this process.
own_file: str = ""

#: Modules of Python 2, and their replacement in Python 3.
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
#: Built-in names of Python 2, and their replacement.
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
    "reload": "importlib.reload, and nothing where sys.setdefaultencoding follows",
}
#: Methods of Python 2, and their replacement.
_OLD_METHODS = {
    "xreadlines": "the file itself, as in `for line in open(path)`",
    "has_key": "`key in dict`",
    "iteritems": "items",
    "iterkeys": "keys",
    "itervalues": "values",
}
#: Members of modules of Python 2, and their replacement.
_OLD_MEMBERS = {
    "itertools.ifilter": "filter",
    "itertools.imap": "map",
    "itertools.izip": "zip",
    "os.getcwdu": "os.getcwd",
    "string.join": "separator.join(words)",
    "sys.maxint": "sys.maxsize",
    "sys.setdefaultencoding": "nothing: text is Unicode",
    "urllib.quote": "urllib.parse.quote",
    "urllib.unquote": "urllib.parse.unquote",
    "urllib.urlencode": "urllib.parse.urlencode",
    "urllib.urlopen": "urllib.request.urlopen",
}
#: Debian packages of modules.
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
    """The message: `line 12: division by zero (ZeroDivisionError)`; for another file `helper.py:3: ...`."""
    try:
        return _where(error) + _what(error)
    except Exception:  # The exception's __str__ may be code of the module, and fail.
        return "%s, which cannot say what was wrong" % type(error).__name__


def _what(error: BaseException) -> str:
    old = _python2(error)
    if old:
        what, instead = old
        version = "%d.%d" % sys.version_info[:2]
        return "is Python 2 (%s), and modules run with Python %s: %s" % (what, version, instead)
    if isinstance(error, SystemExit):
        return "it called sys.exit(%r); return from runcheck() instead" % (error.code,)
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.split(".")[0]
        remedy = "pip install it for that"
        if top in _PACKAGES:
            remedy = "apt-get install %s" % _PACKAGES[top]
        return "%s has no module %s: %s, or set python in [SelfConfig] to that of a venv which has it" % (
            sys.executable,
            error.name,
            remedy,
        )
    text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    if isinstance(error, NameError):
        text += _missing_line(text)
    kind = type(error).__name__
    return "%s (%s)" % (text[:300], kind) if text else kind


def _missing_line(text: str) -> str:
    """The import statement that defines this name, if one is known; otherwise an empty string."""
    found = re.search(r"^name '(\w+)' is not defined", text)
    name = found.group(1) if found else ""
    for part in ("lib.pushdata", "lib.getconfig"):
        if name and hasattr(sys.modules.get(part), name):
            return "; write `from %s import %s` above" % (part, name)
    return "; write `import %s` above" % name if name and importlib.util.find_spec(name) else ""


def _where(error: BaseException) -> str:
    """The innermost line of the module in the traceback, or the line of a syntax error; otherwise an empty string."""
    if isinstance(error, SyntaxError) and error.filename and os.path.isabs(error.filename):
        line = error.lineno or 1
        is_own = error.filename == own_file
        return "line %d: " % line if is_own else "%s:%d: " % (os.path.basename(error.filename), line)
    own = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own_file]
    return "line %d: " % (own[-1] or 1) if own else ""


def _python2(error: BaseException) -> Optional[Tuple[str, str]]:
    """The Python 2 feature that causes the exception, and what to write instead; `None` if it is another error."""
    text = str(error)
    if isinstance(error, TabError):
        return "tabs and spaces mixed", "indent with spaces alone"
    if isinstance(error, SyntaxError):
        return _python2_syntax(text, (error.text or "").strip())
    if isinstance(error, ModuleNotFoundError) and error.name in _OLD_MODULES:
        return "import %s" % error.name, "import %s" % _OLD_MODULES[error.name]
    if isinstance(error, TypeError) and "for >>: 'builtin_function_or_method'" in text:
        return "print >>", "write print(..., file=...)"
    of_list = re.search(r"'(map|filter|zip|dict_keys|dict_values|dict_items)'", text)
    if of_list and isinstance(error, (AttributeError, TypeError)):
        return "%s as a list" % of_list.group(1), "write list(...) around it"
    for kind, pattern, known in (
        (NameError, r"name '(\w+)' is not defined", _OLD_NAMES),
        (AttributeError, r"object has no attribute '(\w+)'", _OLD_METHODS),
        (AttributeError, r"module '(?P<module>\w+)' has no attribute '(?P<name>\w+)'", _OLD_MEMBERS),
        (ImportError, r"cannot import name '(?P<name>\w+)' from '(?P<module>\w+)'", _OLD_MEMBERS),
    ):
        found = re.search(pattern, text) if isinstance(error, kind) else None
        if found:
            name = "%(module)s.%(name)s" % found.groupdict() if found.groupdict() else found.group(1)
            if name in known:
                return name, "write %s" % known[name]
    return None


def _python2_syntax(text: str, line: str) -> Optional[Tuple[str, str]]:
    if re.match(r"print\s+[^\s(=]", line) or "call to 'print'" in text:
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
    if "parameters cannot be parenthesized" in text or re.search(r"\blambda\s*\(", line):
        return "a tuple among parameters", "take it apart in the body"
    if re.search(r"\b[uU][rR]['\"]", line):
        return "ur''", "write r''"
    outside_quotes = re.sub(r"'[^']*'|\"[^\"]*\"", "", line)
    if re.search(r"\b(0[xX][0-9a-fA-F]+|[0-9]+)[lL]\b", outside_quotes):
        return "a long number such as 10L", "write 10"
    if "`" in outside_quotes:
        return "backticks", "write repr(...)"
    return None
