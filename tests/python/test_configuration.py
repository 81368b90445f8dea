import configparser
import os

from kept import HOME, Kept
from lib import _channel, commonclient, getconfig, puylogger, sharedvars


def write(name, data):
    path = os.path.join(HOME.name, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


class Configuration(Kept):
    def setUp(self):
        super().setUp()
        self.files = [
            write("config.ini", b"\xef\xbb\xbf[SelfConfig]\r\ntmpdir: /t\r\nmax: 5\nbad: 5k\n[Own]\nlast = config\n"),
            write("conf/a.ini", b"[Own]\nYes = True\nlast = a\nrest = 5%(x)s \xff\nyes = False\n[Own]\nmore = 1\n"),
            write("conf/b.ini", b"no section = 1\n"),
        ]
        getconfig._read()

    def tearDown(self):
        for path in self.files:
            os.unlink(path)
        getconfig.config.clear()

    def test_all_files_are_merged_and_the_main_one_is_read_last(self):
        self.assertEqual(getconfig.getparam("Own", "last"), "config")
        self.assertEqual(sorted(getconfig.getsection("Own")), ["last", "more", "rest", "yes"])
        self.assertEqual(getconfig.getsectionitems("Own")["rest"], "5%(x)s \ufffd")
        self.assertIs(getconfig.getparam("Own", "YES"), False)
        self.assertEqual((getconfig.own("tmpdir"), getconfig.own("x", "y")), ("/t", "y"))
        self.assertEqual([getconfig.own_number(key, 2) for key in ("max", "bad", "x")], [5, 2, 2])

    def test_references_to_secrets_are_resolved(self):
        self.files.append(write("secret", b"p@ss word\n"))
        place = "file:" + os.path.join(HOME.name, "secret")
        text = "[S]\nin = %s\nout = file:/nowhere\nenv = env:X\ncred = cred:secret\nplain = file:x\n" % place
        self.files.append(write("conf/c.ini", text.encode()))
        _channel.order["credentials"] = HOME.name
        self.addCleanup(_channel.order.pop, "credentials")
        getconfig._read()
        self.assertEqual(getconfig.getparam("S", "in"), "p@ss word")
        self.assertEqual(getconfig.getparam("S", "cred"), "p@ss word")
        self.assertEqual(getconfig.getparam("S", "plain"), "file:x")
        for key, why in (("out", "No such file"), ("env", "is not given to modules")):
            with self.assertRaisesRegex(configparser.Error, why):
                getconfig.getparam("S", key)

    def test_missing_keys_raise_as_in_the_python_daemon(self):
        with self.assertRaises(configparser.NoSectionError):
            getconfig.getparam("Nobodys", "x")
        with self.assertRaises(configparser.NoOptionError):
            getconfig.getparam("Own", "x")

    def test_an_unreadable_file_only_affects_itself(self):
        [said] = self.said()
        self.assertIn("b.ini is left out of `config`: ", said)


class Words(Kept):
    def test_lines_for_the_log(self):
        puylogger.print_message("a", 1, None)
        puylogger.print_raw_message(b"x")
        self.assertEqual(self.sent, [{"says": "a 1 None"}, {"says": "b'x'"}])

    def test_shared_values(self):
        sharedvars.storevar("a", [1])
        self.assertEqual((sharedvars.getvar("a"), sharedvars.getvar("b")), ([1], None))


class Clients(Kept):
    def test_a_failed_request_gives_none_and_logs_no_secret(self):
        self.assertIsNone(commonclient.httpget("n", "http://u:secret@127.0.0.1:1/x?key=secret", "u:secret"))
        self.assertIsNone(commonclient.httppost("n", "no address", payload="secret"))
        self.assertIsNone(commonclient.socketget("n", 10, "127.0.0.1", "1", "secret"))
        self.assertIsNone(commonclient.socketget("n", 10, "127.0.0.1", "port", "secret"))
        said = self.said()
        self.assertEqual(len(said), 4)
        self.assertTrue(said[0].startswith("127.0.0.1:1/x: "), said)
        self.assertFalse([text for text in said if "secret" in text], said)
