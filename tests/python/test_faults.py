import unittest

import kept  # noqa: F401
from lib import _faults, getconfig, pushdata  # noqa: F401

OWN = "/home/checks_enabled/check_own.py"

#: The text of a module, and what is said of it.
SENTENCES = [
    ("x = 0\n1 / x", "line 2: division by zero (ZeroDivisionError)"),
    ("assert False", "line 1: AssertionError"),
    ("import sys\nsys.exit('done')", "line 2: it called sys.exit('done'); return from runcheck() instead"),
    ("raise ValueError('two\\n  lines')", "line 1: two lines (ValueError)"),
    ("class E(Exception):\n  def __str__(self): return 1 / 0\nraise E()", "E, which cannot say what was wrong"),
    ("import nobodys.part", " has no module nobodys: pip install it for that, or set python in [SelfConfig]"),
    ("import urllib2", "line 1: is Python 2 (import urllib2)"),
    ("import urllib\nurllib.urlopen('x')", "line 2: is Python 2 (urllib.urlopen)"),
    ("from itertools import izip", "line 1: is Python 2 (itertools.izip)"),
    ("import sys\nsys.maxint", ": write sys.maxsize"),
    ("{}.has_key(1)", "line 1: is Python 2 (has_key)"),
    ("xrange(3)", "line 1: is Python 2 (xrange)"),
    ("print 'x'", "line 1: is Python 2 (print without parentheses)"),
    ("import sys\nprint >>sys.stderr, 'x'", "line 2: is Python 2 (print >>)"),
    ("exec 'x'", "line 1: is Python 2 (exec without parentheses)"),
    ("try: pass\nexcept E, e: pass", "line 2: is Python 2 (except with a comma)"),
    ("raise E, 'x'", "line 1: is Python 2 (raise with a comma)"),
    ("if 1 <> 2: pass", "line 1: is Python 2 (<>)"),
    ("mode = 0644", "line 1: is Python 2 (an octal number such as 0644)"),
    ("if 1:\n        x = 1\n\ty = 1", "line 3: is Python 2 (tabs and spaces mixed)"),
    ("x = `1`", "line 1: is Python 2 (backticks)"),
    ("x = 10L", "line 1: is Python 2 (a long number such as 10L)"),
    ("x = 0xFFL", "line 1: is Python 2 (a long number such as 10L)"),
    ("f = lambda (a, b): a", "line 1: is Python 2 (a tuple among parameters)"),
    ("def f(a, (b, c)): pass", "line 1: "),
    ("x = ur'a'", "line 1: is Python 2 (ur'')"),
    ("import sys\nreload(sys)", "line 2: is Python 2 (reload)"),
    ("import sys\nsys.setdefaultencoding('utf8')", "line 2: is Python 2 (sys.setdefaultencoding)"),
    ("{}.keys().sort()", "line 1: is Python 2 (dict_keys as a list)"),
    ("map(int, [1])[0]", "line 1: is Python 2 (map as a list)"),
    # Names and notation of Python 2 in strings or in another context.
    ("x = '10L `1`' +", "line 1: invalid syntax (SyntaxError)"),
    ("class Own: pass\nOwn().file", "line 2: 'Own' object has no attribute 'file' (AttributeError)"),
    ("class Own: pass\nOwn().quote", "line 2: 'Own' object has no attribute 'quote' (AttributeError)"),
    ("nobodys", "line 1: name 'nobodys' is not defined (NameError)"),
    ("socket.getfqdn()", "line 1: name 'socket' is not defined; write `import socket` above (NameError)"),
    ("config.get('a', 'b')", "line 1: name 'config' is not defined; write `from lib.getconfig import config` above"),
    ("cluster_name", "line 1: name 'cluster_name' is not defined; write `from lib.pushdata import cluster_name` above"),
    # In text that the module itself raised.
    ("eval('1 +')", "line 1: "),
]


class Sentences(unittest.TestCase):
    def setUp(self):
        _faults.own_file = OWN

    def said_of(self, text, path=OWN):
        try:
            exec(compile(text, path, "exec"), {})
        except BaseException as error:
            return _faults.sentence(error)
        return None

    def test_each_error_message_has_its_line(self):
        for text, told in SENTENCES:
            with self.subTest(text):
                self.assertIn(told, self.said_of(text))

    def test_the_line_is_that_of_the_module_and_not_of_a_callee(self):
        self.assertTrue(self.said_of("import json\n\njson.loads('{')").startswith("line 3: "))

    def test_another_file_is_named(self):
        self.assertTrue(self.said_of("def x(", "/home/lib/helper.py").startswith("helper.py:1: "))

    def test_an_unknown_line_is_left_out(self):
        self.assertEqual(_faults.sentence(ValueError("x")), "x (ValueError)")
