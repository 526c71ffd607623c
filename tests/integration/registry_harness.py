"""A private PostgreSQL, a real registry on it, and tests/support/registry_ask.c as everyone who asks it."""

import glob
import json
import os
import pwd
import queue
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

from admin_harness import BIN, WAIT, free_ports

POSTGRES = max(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[-2]))


def unprivileged():
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam("postgres" if any(u.pw_name == "postgres" for u in pwd.getpwall()) else "nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Cluster:
    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="mcpbox-pg-"))
        self.account = unprivileged()
        if self.account:
            os.chown(self.directory, self.account["user"], self.account["group"])
        self._run("initdb", "-D", self.directory / "data", "-U", "mcpbox", "-A", "trust", "--no-sync")
        self.start()

    def _run(self, program, *arguments):
        subprocess.run([f"{POSTGRES}/{program}", *map(str, arguments)], check=True, cwd=self.directory,
                       stdout=subprocess.DEVNULL, **self.account)

    def start(self):
        self._run("pg_ctl", "-D", self.directory / "data", "-w", "-l", self.directory / "log", "-o",
                  f"-c listen_addresses= -c unix_socket_directories={self.directory} -c fsync=off", "start")

    def stop(self):
        self._run("pg_ctl", "-D", self.directory / "data", "-w", "-m", "immediate", "stop")

    def new_database(self):
        name = "t" + secrets.token_hex(6)
        self._run("createdb", "-h", self.directory, "-U", "mcpbox", name)
        return name

    def sql(self, database, text):
        done = subprocess.run([f"{POSTGRES}/psql", "-h", self.directory, "-U", "mcpbox", "-d", database, "-XAtq",
                               "-v", "ON_ERROR_STOP=1", "-c", text], check=True, capture_output=True, text=True,
                              **self.account)
        return done.stdout.strip()

    def url(self, database):
        return f"postgresql:///{database}?host={self.directory}&user=mcpbox"

    def remove(self):
        self.stop()
        shutil.rmtree(self.directory)


class Asker:
    """One process of tests/support/registry_ask.c: one boot id per role."""

    def __init__(self, key, address):
        self.lines = queue.Queue()
        self.process = subprocess.Popen([BIN / "registry_ask", key, address], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def send(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self.lines.get(timeout=WAIT)

    def close(self):
        self.process.kill()
        self.process.wait()


class Refused(Exception):
    def __init__(self, answer):
        super().__init__(answer["text"])
        self.code, self.text, self.field, self.hint = (answer[k] for k in ("code", "text", "field", "hint"))
        self.current = json.loads(answer["current"]) if answer["current"] else None


class Registry:
    def __init__(self, cluster, key=None, database=None):
        self.cluster = cluster
        self.key = key or secrets.token_hex(32)
        self.database = database or cluster.new_database()
        self.address = f"127.0.0.1:{free_ports(3)}"
        self.askers, self.token = [], None
        self.start()
        assert self.is_ready, self.log
        self.asker = self.new_asker()

    def start(self):
        read, write = os.pipe()
        environment = dict(os.environ, MCPBOX_ENCRYPTION_KEY=self.key, MCPBOX_REGISTRY_ADDR=self.address,
                           MCPBOX_REGISTRY_DB_URL=self.cluster.url(self.database), NOTIFY_FD=str(write))
        self.process = subprocess.Popen([BIN / "mcpbox-registry"], env=environment, pass_fds=[write],
                                        stderr=subprocess.PIPE, text=True)
        os.close(write)
        with os.fdopen(read) as notify:
            self.is_ready = notify.readline() == "READY=1\n"
        self.log = []
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self.reader.start()

    def kill(self, sig=signal.SIGKILL):
        self.process.send_signal(sig)
        self.process.wait()
        self.reader.join()

    def new_asker(self):
        self.askers.append(Asker(self.key, self.address))
        return self.askers[-1]

    def ask(self, role, kind, msg, body=None, asker=None, **more):
        answer = (asker or self.asker).send({"as": role, "kind": kind, "msg": msg, "body": body or {}, **more})
        if not answer["ok"]:
            raise Refused(answer)
        return answer["reply"]

    # Who asks what most.

    def llm(self, msg, **body):
        return self.ask("gateway", "LOCAL", msg, body)

    def admin(self, msg, **body):
        return self.ask("admin", "USER", msg, body, secret=self.token, remote="192.0.2.1")

    def stranger(self, msg, **body):
        return self.ask("admin", "SYSTEM", msg, body, remote="192.0.2.1")

    def owner(self, msg, **body):
        return self.ask("ops", "OWNER", msg, body)

    def gateway(self, msg, **body):
        return self.ask("gateway", "SYSTEM", msg, body)

    def log_in(self, username="anna", password="correct horse battery"):
        if self.stranger("AUTH_STATUS")["setup_required"]:
            self.stranger("SETUP", username=username, password=password)
        self.token = self.stranger("LOGIN", username=username, password=password)["access_token"]

    def join_executor(self):
        answer = self.asker.send({"do": "executor"})
        assert answer["ok"], answer
        self.wait_for_topic("instance.joined")

    def wait_for_topic(self, topic):
        """Until the audit has it; bounded by the answers themselves, since each is asked anew."""
        for _ in range(2000):
            events = self.owner("LIST_AUDIT", limit=500, topics=[topic])["events"]
            if events:
                return events
        raise AssertionError(f"no {topic}")

    def topics(self):
        return [e["topic"] for e in self.owner("LIST_AUDIT", limit=500)["events"]]

    def sql(self, text):
        return self.cluster.sql(self.database, text)

    def close(self):
        for asker in self.askers:
            asker.close()
        if self.process.poll() is None:
            self.kill(signal.SIGTERM)
