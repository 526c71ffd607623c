"""Limits and refusals that show up as exceptions: what the runtime makes of them."""

import errno
import json
import sys
import unittest

from mcpbox_runtime import errors, excess, imports, refused

SAID_BY_C = "(0 for _ in ()).throw(%s)"  # no `raise`, as when the interpreter fails
LINES = ["def main():\n", "    os.fork()\n", "    socket.socket()\n", "    os.chroot('/')\n"]


def raised(source):
    """The exception of a tool's code."""
    space = {"errno": errno}
    try:
        exec(compile(source, refused.SOURCE_FILE, "exec"), space)
    except BaseException as e:
        return e
    raise AssertionError("nothing was raised")


def answer(e, source=""):
    return json.loads(errors.answer(e, source.splitlines(True)))


class Told(unittest.TestCase):
    def setUp(self):
        self.told, self.real = [], refused.tell
        refused.tell = lambda kind, name, line=None: self.told.append((kind, name, line))

    def tearDown(self):
        refused.tell = self.real


class Limits(Told):
    def test_each_has_its_kind(self):
        rows = (
            (OSError(errno.EMFILE, "too many"), ("files", None)),
            (OSError(errno.ENOSPC, "full"), ("scratch", None)),
            (OSError(errno.ENOSPC, "full", "/scratch/a"), ("inodes", None)),
            (OSError(errno.EFBIG, "too big"), ("scratch", None)),
            (RuntimeError("can't start new thread"), ("threads", len(sys._current_frames()))),
            (RuntimeError("other"), None),
            (OSError(errno.ENOENT, "none"), None),
            (ValueError("can't start new thread"), None),
        )
        for e, want in rows:
            self.assertEqual(excess.kind_of(e), want, e)

    def test_a_hostile_class_is_an_error_like_others(self):
        class Odd(OSError):
            errno = property(lambda self: 1 / 0)

        self.assertIsNone(excess.kind_of(Odd()))
        self.assertEqual(answer(Odd())["kind"], "tool")

    def test_the_answer_names_kind_and_line(self):
        source = "\n" + SAID_BY_C % "OSError(errno.EMFILE, 'too many')"
        frame = answer(raised(source), source)
        self.assertEqual((frame["kind"], frame["detail"]["line_number"]), ("files", 2))

    def test_memory_names_its_line(self):
        source = "def main():\n  [0] * 10**15\nmain()"
        frame = answer(raised(source), source)
        self.assertEqual((frame["kind"], frame["detail"]["line_number"]), ("memory", 2))
        self.assertIn(">    2 |   [0] * 10**15", frame["detail_text"])
        source = SAID_BY_C % "MemoryError('Unable to allocate 74.5 GiB')"
        self.assertTrue(answer(raised(source), source)["detail_text"].startswith("Unable to allocate 74.5 GiB\nMemoryError at line 1"))

    def test_what_the_tool_raises_itself_is_no_limit(self):
        for source in ("raise MemoryError('my own')", "raise RuntimeError(\"can't start new thread\")",
                       "raise OSError(errno.EMFILE, 'my own')", "raise OSError(errno.ENOSPC, 'my own', 'f')",
                       "class Mine(MemoryError): pass\nraise Mine('my own')"):
            frame = answer(raised(source), source)
            self.assertEqual(frame["kind"], "tool", source)
            self.assertIn("my own" if "my own" in source else "can't start new thread", frame["text"])

    def test_a_limit_that_is_passed_on_is_one(self):
        source = "try:\n  %s\nexcept OSError as e:\n  raise%%s" % (SAID_BY_C % "OSError(errno.EMFILE, 'x')")
        for how in ("", " e"):
            self.assertEqual(answer(raised(source % how), source)["kind"], "files")

    def test_memory_that_may_not_be_executed_is_no_limit(self):
        import ctypes

        head = "import ctypes\nproto = ctypes.CFUNCTYPE(ctypes.c_int)\n"
        for line in ("ctypes.CFUNCTYPE(ctypes.c_int)(SAY)", "proto(SAY)"):
            source = head + line.replace("SAY", SAID_BY_C % "MemoryError()")
            frame = answer(raised(source), source)
            self.assertEqual((frame["kind"], "callback (CFUNCTYPE)" in frame["text"]), ("tool", True), frame)
            self.assertEqual(self.told.pop(), ("syscall", "executable memory", 3))
        self.assertEqual(answer(raised(head + SAID_BY_C % "MemoryError()"), head)["kind"], "memory")


class Hints(Told):
    def hint(self, source):
        frame = answer(raised(source), source)
        self.assertEqual(frame["kind"], "tool")
        return frame["text"]

    def test_the_line_tells_what_was_asked_for(self):
        rows = (("os.fork()", "processes", "no other process"), ("socket.socket()", "sockets", "mcpbox_request_network_access"),
                ("os.kill(1, 9)", "signals", "to nobody"), ("os.chroot('/')", "system calls", "does not let"))
        for line, name, words in rows:
            text = self.hint("raise PermissionError(errno.EPERM, 'no')  # " + line)
            self.assertIn(words, text)
            self.assertEqual(self.told.pop(), ("syscall", name, 1))

    def test_what_a_library_makes_of_a_refusal_is_told_too(self):
        no = "PermissionError(errno.EPERM, 'no')"
        rows = (
            ("try:\n  raise %s  # socket.socket()\nexcept OSError as e: raise RuntimeError('library') from e" % no, "object http"),
            ("import urllib.error, socket\nraise urllib.error.URLError(socket.gaierror(-3, 'no'))  # socket", "object http"),
        )
        for source, words in rows:
            self.assertIn(words, self.hint(source))
            self.assertEqual(self.told.pop()[:2], ("syscall", "sockets"))
        self.assertNotIn(";", self.hint("try:\n  raise %s\nexcept OSError: raise ValueError('x') from None" % no))

    def test_locks_and_memory_between_processes(self):
        for source, words in (
                ("import multiprocessing.synchronize as s\nexec(compile('def f(): raise FileNotFoundError(2, \"no\")', 'x', 'exec'), s.__dict__)\ns.f()",
                 "ThreadPoolExecutor"),
                ("raise OSError(errno.ENOMEM, 'no')  # mmap.mmap(-1, 10)", "MAP_PRIVATE"),
                ("raise PermissionError(errno.EPERM, 'no')  # fcntl.flock(f, 2)", "go without"),
                ("import sqlite3\nraise sqlite3.OperationalError('disk I/O error')", "WAL")):
            self.assertIn(words, self.hint(source))

    def test_os_system_says_no(self):
        self.assertIn("no other process", self.hint("from mcpbox_runtime.refused import system\nsystem('ls')"))

    def test_a_file_is_told_by_its_name(self):
        self.assertIn("scratch directory", self.hint("raise PermissionError(errno.EACCES, 'no', '/etc/shadow')"))
        self.assertEqual(self.told, [("syscall", "files", 1)])

    def test_a_file_that_is_not_there_gives_a_hint_and_no_report(self):
        self.assertIn("scratch directory", self.hint("raise FileNotFoundError(errno.ENOENT, 'no', '/etc/passwd')"))
        self.assertNotIn("scratch directory", self.hint("raise FileNotFoundError(errno.ENOENT, 'no', 'mine.txt')"))
        self.assertEqual(self.told, [])

    def test_other_errors_get_none(self):
        for source in ("raise ValueError('x')", "raise OSError(errno.EPIPE, 'x')", "raise TimeoutError('x')"):
            self.hint(source)
        self.assertEqual(self.told, [])


class Imports(Told):
    def test_each_refused_import_is_told_with_its_module(self):
        space = {"__builtins__": imports.make_builtins(("json",))}
        for source in ("import json, subprocess", "from os.path import join", "import json.decoder"):
            try:
                exec(source, space)
            except ImportError:
                pass
        self.assertEqual([t[:2] for t in self.told], [("import", "subprocess"), ("import", "os.path")])


    def test_what_a_library_in_c_imports_is_its_own_affair(self):
        sys.modules.pop("_strptime", None)
        space = {"__builtins__": imports.make_builtins(("datetime", "pickle")), "__name__": "tool"}
        exec("import datetime\nwhen = datetime.datetime.strptime('2026-01-02', '%Y-%m-%d')", space)
        self.assertEqual((space["when"].day, self.told), (2, []))
        with self.assertRaises(ImportError):
            exec("import _strptime", space)
        with self.assertRaises(ImportError):
            exec("__import__('_strptime')", space)


class Telling(unittest.TestCase):
    def setUp(self):
        from mcpbox_runtime import host

        self.sent, self.host, self.real = [], host, host.send_event
        host.send_event = self.sent.append
        refused.begin()

    def tearDown(self):
        self.host.send_event = self.real
        refused.begin()

    def test_each_thing_once_and_not_too_many(self):
        for _ in range(3):
            refused.tell("import", "os", 7)
        self.assertEqual(self.sent, [{"op": "refused", "event": {"kind": "import", "name": "os", "line": 7}}])
        for n in range(100):
            refused.tell("import", "m%d" % n, 1)
        self.assertEqual(len(self.sent), refused.TOLD_MAX)

    def test_the_next_call_tells_anew(self):
        refused.tell("host", "a.example:443", 1)
        refused.begin()
        refused.tell("host", "a.example:443", 1)
        self.assertEqual(len(self.sent), 2)

    def test_without_a_channel_nothing_happens(self):
        def broken(message):
            raise OSError(errno.EBADF, "no channel")

        self.host.send_event = broken
        refused.tell("import", "os", 1)


if __name__ == "__main__":
    unittest.main()
