"""Standard-library modules that can do nothing in a call: each row of the table, tried in a sandbox."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parents[2] / "services/executor/runtime"))
from mcpbox_runtime import unusable  # noqa: E402
from sandbox_driver import Sandboxes  # noqa: E402

# What each module is for, as an expression or statements; all of it must fail.
TRIED = {
    "subprocess": "subprocess.run(['/bin/true'])", "multiprocessing": "multiprocessing.Process(target=print).start()",
    "pty": "pty.fork()", "concurrent.futures.process": "concurrent.futures.process.ProcessPoolExecutor(1).submit(len, '').result()",
    "venv": "venv.create('v', with_pip=True)", "ensurepip": "ensurepip.bootstrap(root='r')", "webbrowser": "webbrowser.get()",
    "socket": "socket.socket()", "socketserver": "socketserver.TCPServer(('127.0.0.1', 0), None)",
    "http.client": "http.client.HTTPConnection('127.0.0.1').connect()", "http.server": "http.server.HTTPServer(('127.0.0.1', 0), None)",
    "urllib.request": "urllib.request.urlopen('http://127.0.0.1/')", "xmlrpc": "__import__('xmlrpc.client').client.ServerProxy('http://127.0.0.1/').x()",
    "ftplib": "ftplib.FTP('127.0.0.1')", "imaplib": "imaplib.IMAP4('127.0.0.1')", "nntplib": "nntplib.NNTP('127.0.0.1')",
    "poplib": "poplib.POP3('127.0.0.1')", "smtplib": "smtplib.SMTP('127.0.0.1')", "smtpd": "smtpd.SMTPServer(('127.0.0.1', 0), None)",
    "telnetlib": "telnetlib.Telnet('127.0.0.1')", "asyncore": "asyncore.dispatcher().create_socket()", "asynchat": "asynchat.async_chat().create_socket()",
    "wsgiref.simple_server": "wsgiref.simple_server.make_server('127.0.0.1', 0, None)",
    "curses": "curses.initscr()", "readline": "input()", "rlcompleter": "input()", "termios": "termios.tcgetattr(0)", "tty": "tty.setraw(0)",
    "getpass": "getpass.getpass(stream=None)", "pdb": "input()", "tkinter": "tkinter.Tk()", "turtle": "turtle.Turtle()",
    "turtledemo": "__import__('turtledemo.clock')", "idlelib": "__import__('idlelib.idle')",
    "pwd": "pwd.getpwnam('root')", "grp": "grp.getgrnam('root')", "spwd": "spwd.getspall()[0]", "nis": "nis.maps()[0]",
    "syslog": "open('/dev/log')", "ossaudiodev": "ossaudiodev.open('w')",
}


@pytest.fixture(scope="module", params=["full", "docker"])
def box(request):
    made = Sandboxes(request.param)
    yield made
    assert made.close() == 0


def test_the_table_is_tried_whole():
    assert sorted(TRIED) == sorted(" ".join(unusable.REASONS.values()).split())


@pytest.mark.parametrize("module", sorted(TRIED))
def test_a_listed_module_can_do_nothing(box, module):
    code = "def main():\n    import %s\n    %s\n    return 'it works'\n" % (module, TRIED[module])
    answer = box.run(code, modules=[module.partition(".")[0]], timeout_ms=20000)
    assert answer["outcome"] not in ("ok", "internal"), answer
