import os
import py_compile
import shutil
import sys
import tempfile
import types
import unittest
from unittest import mock

from kept import Kept, host
from lib import pushdata


class Home(Kept):
    def setUp(self):
        super().setUp()
        self.home = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.home)

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.home, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)
        return path


class Loading(Home):
    def load(self, path):
        self.addCleanup(sys.modules.pop, os.path.basename(path)[:-3], None)
        return host.load(path)

    def test_a_module_has_its_file_name_and_its_own_path(self):
        path = self.write("check_own.py", "NAME, FILE = __name__, __file__\n")
        loaded = self.load(path)
        self.assertEqual((loaded.NAME, loaded.FILE), ("check_own", path))
        self.assertIs(sys.modules["check_own"], loaded)

    def test_stale_compiled_files_are_not_used(self):
        path = self.write("check_own.py", "VALUE = 1\n")
        about = os.stat(path)
        py_compile.compile(path)
        self.write("check_own.py", "VALUE = 2\n")
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
        self.assertEqual(self.load(path).VALUE, 2)

    def test_modules_in_the_home_are_found_except_in_a_venv(self):
        self.write("lib/helper_of_mine.py", "X = 1\n")
        hook = host.in_the_home(self.home)
        spec = hook(os.path.join(self.home, "lib")).find_spec("helper_of_mine")
        self.assertIsInstance(spec.loader, host.AsWritten)
        for folder in ("/usr/lib", self.home + "beside"):
            self.assertRaises(ImportError, hook, folder)
        with mock.patch.object(sys, "prefix", os.path.join(self.home, "venv")):
            hook = host.in_the_home(self.home)
            self.assertRaises(ImportError, hook, os.path.join(self.home, "venv/lib"))

    def test_our_modules_are_found_and_removed_ones_explained(self):
        finder = host.Sources({"pushdata": "X = 1\n"}, self.home)
        self.assertTrue(finder.find_spec("lib").submodule_search_locations)
        self.assertEqual(finder.find_spec("lib.pushdata").origin, "puypuy/lib/pushdata.py")
        self.assertIsNone(finder.find_spec("lib.helper"))
        self.assertIsNone(finder.find_spec("pushdata"))
        for name in ("jolostart", "lib.jolostart"):
            self.assertRaisesRegex(ImportError, "check_jolokia", finder.find_spec, name)


@unittest.skipUnless(os.geteuid() == 0, "only root refuses")
class Root(Home):
    def test_root_runs_nothing_that_others_can_change(self):
        path = self.write("lib/helper.py", "")
        host.refuse_for_root(path)
        os.symlink("helper.py", os.path.join(self.home, "lib/link.py"))
        os.symlink(os.path.join(self.home, "lib"), os.path.join(self.home, "way"))
        host.refuse_for_root(os.path.join(self.home, "way/../way/link.py"))
        for change, undo in (
            (lambda: os.chmod(path, 0o666), lambda: os.chmod(path, 0o644)),
            (lambda: os.chown(path, 1, 1), lambda: os.chown(path, 0, 0)),
            (lambda: os.chmod(os.path.dirname(path), 0o775), lambda: os.chmod(os.path.dirname(path), 0o755)),
        ):
            change()
            for name in ("lib/helper.py", "way/link.py"):
                self.assertRaisesRegex(ImportError, "by others", host.refuse_for_root, os.path.join(self.home, name))
            undo()


class Running(Kept):
    def ran(self, **names):
        module = types.ModuleType("check_own")
        module.__dict__.update(names)
        host.run(module, pushdata)
        return [(point["name"], point["type"]) for point in self.points()]

    def test_a_function_precedes_a_class_which_has_its_type(self):
        class Check:
            check_type = "of_class"

            def runcheck(self):
                return [{"name": "c", "value": 1}]

        self.assertEqual(self.ran(Check=Check, runcheck=5, check_type="t"), [("c", "of_class")])
        self.assertEqual(self.ran(Check=Check, runcheck=lambda: {"name": "f", "value": 1})[-1], ("f", "own"))

    def test_a_module_without_either_is_reported(self):
        self.assertRaisesRegex(AttributeError, "neither a function", self.ran, runcheck=5)
