"""Modules of the standard library that can do nothing in a call, with the reason.  docs/tools.md shows this table."""

REASONS = {
    "a call may start no other process":
        "subprocess multiprocessing pty concurrent.futures.process venv ensurepip webbrowser",
    "a call has no sockets; requests go through `http`":
        "socket socketserver http.client http.server urllib.request xmlrpc ftplib imaplib nntplib poplib smtplib smtpd "
        "telnetlib asyncore asynchat wsgiref.simple_server",
    "a call has no terminal":
        "curses readline rlcompleter termios tty getpass pdb tkinter turtle turtledemo idlelib",
    "a call sees nothing of the machine that it runs on":
        "pwd grp spwd nis syslog ossaudiodev",
}
_BY_NAME = {name: reason for reason, names in REASONS.items() for name in names.split()}


def reason(name):
    """Why the module, or the package that it is in, can do nothing here; None if it can."""
    while name:
        if name in _BY_NAME:
            return _BY_NAME[name]
        name = name.rpartition(".")[0]
    return None
