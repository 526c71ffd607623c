"""The supervisor with real processes: restart, drain, death of either side, what a dead service leaves behind."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

BIN = Path(os.environ.get("MCPBOX_TEST_BIN", Path(__file__).resolve().parents[2] / "build" / "dev" / "bin"))


def until(check, what, seconds=10):
    end = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < end, what
        time.sleep(0.01)
    return value


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Supervised:
    """A shell script as the service, in a directory of its own."""

    def __init__(self, folder, script, *options):
        self.folder = folder
        self.options = options
        (folder / "service").write_text("#!/bin/sh\n" + script)
        (folder / "service").chmod(0o755)
        (folder / "env").write_text(f"HERE={folder}\n")

    def start(self):
        return subprocess.run([BIN / "mcpbox-supervisor", "--name", "x", "--run", self.folder, "--log",
                               self.folder / "x.log", "--env", self.folder / "env", *self.options, "--",
                               self.folder / "service"], check=False, timeout=30).returncode

    def state(self):
        try:
            lines = (self.folder / "x.state").read_text().splitlines()
        except FileNotFoundError:
            return {}
        return dict(line.split("=", 1) for line in lines)

    def pid(self):
        return int(self.state().get("pid", 0))

    def log(self):
        return (self.folder / "x.log").read_text()

    def free(self):
        return subprocess.run(["flock", "-n", self.folder / "x.lock", "true"], check=False).returncode == 0

    def stop(self):
        supervisor = self.state().get("supervisor")
        if supervisor and not self.free():
            os.kill(int(supervisor), signal.SIGTERM)
            until(self.free, "the supervisor ends")


READY = 'echo READY=1 >&"$NOTIFY_FD"\n'


@pytest.fixture
def make(tmp_path):
    made = []

    def factory(script, *options):
        made.append(Supervised(tmp_path, script, *options))
        return made[-1]

    yield factory
    for supervised in made:
        supervised.stop()


def test_returns_when_the_service_is_ready(make):
    service = make(READY + "exec sleep 1000\n")
    assert service.start() == 0
    assert service.state()["ready"] == "1"
    assert alive(service.pid())


def test_gives_the_service_its_environment_and_nothing_of_the_callers(make):
    service = make("env >&2\n" + READY + "exec sleep 1000\n")
    os.environ["MCPBOX_STRAY"] = "x"
    assert service.start() == 0
    names = {line.split("=")[0] for line in service.log().splitlines() if not line.startswith("{")}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "LC_ALL", "NOTIFY_FD", "HERE"}


def test_service_that_never_was_ready_is_given_up(make):
    service = make("echo broken >&2; exit 3\n")
    assert service.start() == 1
    assert service.free()
    assert "broken" in service.log() and '"status":3' in service.log()


def test_service_that_stays_silent_is_given_up(make):
    service = make("exec sleep 1000\n", "--ready-ms", "200")
    assert service.start() == 1
    assert service.free()


def test_second_supervisor_of_one_service_is_refused(make):
    service = make(READY + "exec sleep 1000\n")
    assert service.start() == 0
    pid = service.pid()
    assert service.start() == 3
    assert service.pid() == pid


def test_dead_service_is_back_within_two_seconds(make):
    service = make(READY + "exec sleep 1000\n")
    assert service.start() == 0
    pid = service.pid()
    os.kill(pid, signal.SIGKILL)
    until(lambda: service.pid() not in (0, pid) and service.state()["ready"] == "1", "it is started again", 2)
    assert service.state()["restarts"] == "1"


def test_stale_files_do_not_stop_a_start(make):
    service = make(READY + "exec sleep 1000\n")
    (service.folder / "x.lock").write_text("")
    (service.folder / "x.state").write_text(f"supervisor=1\npid={os.getpid()}\nready=1\ntag=\n")
    assert service.start() == 0
    assert service.pid() != os.getpid()


def test_sigterm_drains_the_service(make):
    service = make("trap 'echo drained >&2; exit 0' TERM\n" + READY + "while :; do sleep 0.01; done\n")
    assert service.start() == 0
    pid = service.pid()
    service.stop()
    assert not alive(pid)
    assert "drained" in service.log()
    assert service.state() == {}


def test_service_that_does_not_drain_is_killed(make):
    service = make("trap '' TERM\n" + READY + "while :; do sleep 0.01; done\n", "--stop-ms", "200")
    assert service.start() == 0
    pid = service.pid()
    service.stop()
    assert not alive(pid)


def test_killed_supervisor_takes_its_service_along(make):
    service = make(READY + "exec sleep 1000\n")
    assert service.start() == 0
    pid = service.pid()
    os.kill(int(service.state()["supervisor"]), signal.SIGKILL)
    until(lambda: not alive(pid), "the service dies with its supervisor")
    assert service.start() == 0


def test_what_a_dead_service_leaves_behind_is_killed(make):
    service = make('setsid sleep 1000 &\necho $! >"$HERE/child"\n' + READY + "wait\n")
    assert service.start() == 0
    child = int((service.folder / "child").read_text())
    os.kill(service.pid(), signal.SIGKILL)
    until(lambda: not alive(child), "the orphan dies")


def test_log_is_rotated(make):
    service = make('i=0; while [ $i -lt 3000 ]; do echo "line $i of the log" >&2; i=$((i+1)); done\n' + READY
                   + "exec sleep 1000\n", "--log-bytes", "4096")
    assert service.start() == 0
    until(lambda: (service.folder / "x.log.1").exists(), "a rotated file")
    until(lambda: "line 2999" in service.log() + (service.folder / "x.log.1").read_text(), "the last line")
    assert not (service.folder / "x.log.4").exists()
