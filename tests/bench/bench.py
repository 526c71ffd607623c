#!/usr/bin/python3
"""Behind `./mcpbox bench [NAME...] [--quick] [--json]`: the speed that issue by issue was promised.

Starts an instance of its own with temporary data, writes the tools through the product (MCP to write, REST to
approve), runs each measure beside the official TypeScript SDK's server with the same load generator, and prints
target and result.  The whole result is left in build/bench/bench.json.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import registry
import logs
from product import Product, tool_code
from usage import Usage, waiting_calls

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
OUT = REPO / "build" / "bench"
sys.path.insert(0, str(REPO / "tests"))
import run as suites  # noqa: E402  (which node to use is decided there)

MODULE_DIRS = "/usr/lib/python3/dist-packages"
SDK_VARIANTS = ("v1-example", "v1-session", "v1-stateless", "v2-session", "v2-stateless")
CLIENTS = 16
FIRST_CALLS = 5


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Load:
    """The load generator on one endpoint."""

    def __init__(self, binary, folder, quick):
        self.binary, self.folder = binary, folder
        self.seconds, self.runs, self.warm_up = (3, 2, 1) if quick else (20, 5, 2)
        self.short = min(self.seconds, 8)  # where neither the promise nor the spread asks for long runs

    def run(self, port, session, tool, clients, seconds=None):
        request = self.folder / "request"
        body = ('{"jsonrpc":"2.0","id":@@@@@@@@,"method":"tools/call",'
                f'"params":{{"name":"{tool}","arguments":{{"name":"@@@@@@@@"}}}}}}')
        lines = ["POST /mcp HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json",
                 "Accept: application/json, text/event-stream", "MCP-Protocol-Version: 2025-11-25",
                 f"Content-Length: {len(body)}"]
        if session:
            lines.append(f"Mcp-Session-Id: {session}")
        request.write_text("\r\n".join(lines) + "\r\n\r\n" + body)
        done = subprocess.run([self.binary, "127.0.0.1", str(port), request, "hello @@@@@@@@", str(clients),
                               str(self.warm_up), str(seconds or self.seconds)],
                              capture_output=True, text=True, check=False)
        if not done.stdout:
            raise RuntimeError(f"the load generator failed on {tool}: {done.stderr.strip()}")
        result = json.loads(done.stdout)
        if result["errors"]:
            raise RuntimeError(f"{result['errors']} wrong answers of {tool}, such as: {result['wrong']}")
        return result

    def best(self, port, session, tool, clients):
        return min((self.run(port, session, tool, clients) for _ in range(self.runs)), key=lambda r: r["p50_us"])


class Bench:
    def __init__(self, product, load, sdk):
        self.product, self.load, self.sdk = product, load, sdk
        self.rows, self.details = [], {}

    def row(self, measure, target, measured, is_met):
        self.rows.append({"measure": measure, "target": target, "measured": measured, "ok": is_met})
        say(f"{measure}: {measured} (target {target})")

    def measure(self, name):
        try:
            getattr(self, name)()
        except RuntimeError as e:  # one that cannot be measured is not met; the others still are
            self.row(name, "", f"could not be measured: {e}"[:200], False)

    def calls(self, tool, clients, best=False, short=False):
        """A run of the load generator, with what each process used of the processors meanwhile."""
        where = (self.product.port, self.product.session, tool, clients)
        seconds = self.load.short if short else self.load.seconds
        with Usage(self.product.pids()) as usage:
            result = self.load.best(*where) if best else self.load.run(*where, seconds=seconds)
        if not best:
            whole = result["calls"] * (self.load.warm_up + seconds) / seconds
            result["cpu_us_by_process"] = {name: round(us / whole, 1) for name, us in usage.used_us.items()}
        self.details[f"{tool}, {clients} clients"] = result
        return result

    # ---- the measures, in the order of their rows ----

    def trivial(self):
        r = self.calls("hello", 1, best=True)
        self.row("trivial tool, fresh process per call, 1 client: p50", "<= 1.5 ms", ms(r["p50_us"]), r["p50_us"] <= 1500)
        self.row("the same: p99", "<= 6 ms", ms(r["p99_us"]), r["p99_us"] <= 6000)

    def memory(self):
        self.product.call("hello")
        time.sleep(1)  # those for the next calls are made behind this one
        kb = waiting_calls(self.product.pid("executor"))
        if not kb:
            self.row("memory of one waiting call process, private", "<= 2 MB", "none waits", False)
            return
        self.details["waiting call processes"] = {"private_kb": kb}
        self.row(f"memory of one waiting call process, private (largest of {len(kb)})", "<= 2 MB",
                 f"{max(kb) / 1024:.2f} MB", max(kb) <= 2048)

    def parallel(self):
        r = self.calls("hello", CLIENTS)
        self.row(f"the same, {CLIENTS} clients", ">= 900 calls/s", f"{r['rate']:.0f} calls/s", r["rate"] >= 900)
        fastest = self.sdk_rates()
        self.row(f"the same, against the SDK server's fastest form ({fastest['variant']})", ">= 1.0 x",
                 f"{r['rate'] / fastest['rate']:.2f} x of {fastest['rate']:.0f} calls/s", r["rate"] >= fastest["rate"])

    def sdk_rates(self):
        results = []
        for variant in SDK_VARIANTS:
            with self.sdk(variant) as (port, session):
                one = self.load.run(port, session, "hello", 1, seconds=3)
                many = self.load.run(port, session, "hello", CLIENTS, seconds=self.load.short)
            results.append({"variant": variant, "rate": many["rate"], "one_client_p50_us": one["p50_us"]})
            say(f"SDK server {variant}: {many['rate']:.0f} calls/s, p50 {ms(one['p50_us'])} at one client")
        self.details["official TypeScript SDK server"] = results
        return max(results, key=lambda r: r["rate"])

    def warm(self):
        many = self.calls("hello_warm", CLIENTS, short=True)
        self.row(f"warm reuse, {CLIENTS} clients", ">= 6000 calls/s", f"{many['rate']:.0f} calls/s", many["rate"] >= 6000)
        one = self.calls("hello_warm", 1, short=True)
        self.row("warm reuse, 1 client: p50", "<= 0.6 ms", ms(one["p50_us"]), one["p50_us"] <= 600)

    def heavy(self):
        self.product.call("heavy")  # the first call pays for the import
        light, heavy = self.calls("hello", 1, short=True), self.calls("heavy", 1, short=True)
        extra = heavy["p50_us"] - light["p50_us"]
        self.row("tool importing pandas, from the second call on: p50 above trivial", "<= 1 ms", ms(extra), extra <= 1000)

    def logs(self):
        logs.fill(self.product.sql)
        self.details["logs"] = logs.measure(self.product.rest)
        for name, took in self.details["logs"].items():
            self.row(f"{logs.ROWS:,} calls: {name}: p50", "< 50 ms", f"{took['p50_ms']} ms", took["p50_ms"] < 50)

    def first(self):
        for kind in ("plain", "http"):
            took = []
            for i in range(FIRST_CALLS):
                name = f"first_{kind}_{i}"
                self.product.publish("bench", name, tool_code(name, kind))
                self.product.until_listed(name)
                begun = time.monotonic()
                self.product.call(name)
                took.append((time.monotonic() - begun) * 1e6)
            self.details[f"first call, {kind}"] = {"took_us": [round(us) for us in took]}
            self.row(f"first call of a newly approved tool, {kind}: median of {FIRST_CALLS}", "<= 60 ms",
                     ms(statistics.median(took)), statistics.median(took) <= 60000)

    def start(self):
        took = self.product.restart_executor()
        self.row("executor start to ready", "<= 1 s", f"{took:.2f} s", took <= 1)

    def registry(self):
        registry.write_many(self.product)
        took = registry.measure_list(self.product)
        self.row(f"tools/list, {registry.TOOLS} tools in two pages, registry stopped: p50", "<= 3 ms", f"{took} ms", took <= 3)
        took, by_name = registry.measure_management(self.product)
        self.details["management calls, p50 in ms"] = by_name
        self.row("management call: p50", "<= 5 ms", f"{took} ms", took <= 5)
        errors, count, rate = registry.measure_clients(self.product)
        self.details["errors of REST clients"] = [str(e)[:200] for e in errors[:5]]
        self.row(f"{registry.CLIENTS} parallel REST clients, {count} requests", "no error", f"{len(errors)} errors, {rate:.0f}/s",
                 not errors)
        took = registry.measure_decision(self.product)
        self.row("approval to callable, longest of 8", "<= 1 s", f"{max(took):.2f} s", max(took) <= 1)
        whole, before, meanwhile = registry.measure_modules(self.product)
        self.row(f"a module decision in the specs of {registry.TOOLS} tools", "", f"{whole:.2f} s", True)
        self.row("the longest call meanwhile, against before", "", f"{meanwhile * 1000:.0f} ms, {before * 1000:.0f} ms", True)

    def trace(self):
        """No target: what one call is made of, as the gateway's Server-Timing tells it."""
        for clients in (1, CLIENTS):
            r = self.details.get(f"hello, {clients} clients") or self.calls("hello", clients)
            whole = 1e6 * clients / r["rate"]
            self.details[f"where the time goes, {clients} clients"] = {
                "us_by_stage": r["stages"], "us_outside": round(whole - sum(r["stages"].values()), 1)}


BY_NAME = ("logs",)  # only when asked for: it writes ten million rows
MEASURES = ("trivial", "memory", "parallel", "warm", "heavy", "first", "start", "trace", "registry")


def ms(us):
    return f"{us / 1000:.2f} ms"


# ---- what is measured, and beside what ----

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def instance(data):
    environment = {**os.environ, "MCPBOX_GATEWAY_PORT": str(free_port()), "MCPBOX_ADMIN_PORT": str(free_port()),
                   "MCPBOX_MODULE_DIRS": MODULE_DIRS}
    command = [str(REPO / "mcpbox"), "--data", str(data)]
    subprocess.run([*command, "up"], env=environment, stdout=subprocess.DEVNULL, check=True)
    try:
        yield Product(command, data, int(environment["MCPBOX_GATEWAY_PORT"]), int(environment["MCPBOX_ADMIN_PORT"]))
    finally:
        subprocess.run([*command, "down", "--purge"], stderr=subprocess.DEVNULL, check=False)


def sdk_server(node):
    @contextmanager
    def started(variant):
        with subprocess.Popen([node, HERE / "sdk_server.mjs", variant], stdout=subprocess.PIPE, text=True) as process:
            try:
                port = int(process.stdout.readline())
                yield port, Product.open_session(port) if not variant.endswith("stateless") else None
            finally:
                process.kill()
    return started


def load_generator():
    OUT.mkdir(parents=True, exist_ok=True)
    binary = OUT / "bench_http"
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", binary, HERE / "bench_http.c"], check=True)
    return binary


def write_tools(product):
    product.sign_in()
    product.approve_module("pandas")
    product.server("bench")
    product.publish("bench", "hello", tool_code("hello", "plain"))
    product.publish("bench", "heavy", tool_code("heavy", "heavy"))
    product.start("bench")
    product.server("bench_warm")
    product.reuse_warm("bench_warm")
    product.publish("bench_warm", "hello_warm", tool_code("hello_warm", "plain"))
    product.start("bench_warm")
    product.until_listed("hello", "heavy", "hello_warm")


# ---- the result ----

def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
                  if line.startswith("model name")), "unknown")
    commit = subprocess.run(["git", "-C", REPO, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            check=False).stdout.strip()
    return {"processor": model, "cores": os.cpu_count(), "kernel": os.uname().release,
            "date": time.strftime("%Y-%m-%d"), "commit": commit}


def print_table(bench):
    width = max(len(row["measure"]) for row in bench.rows) if bench.rows else 0
    for row in bench.rows:
        verdict = "ok" if row["ok"] else "NOT MET"
        print(f"{row['measure']:{width}}  {row['target']:>15}  {row['measured']:>28}  {verdict}")
    for name, detail in bench.details.items():
        if "us_by_stage" in detail:
            parts = ", ".join(f"{stage} {us:.0f}" for stage, us in detail["us_by_stage"].items())
            print(f"{name} (us, means): {parts}, outside the gateway {detail['us_outside']:.0f}")
        elif "cpu_us_by_process" in detail:
            parts = ", ".join(f"{process} {us:.0f}" for process, us in detail["cpu_us_by_process"].items())
            print(f"processor time per call, {name} (us): {parts}, load generator {detail['cpu_us']:.0f}")


def main():
    parser = argparse.ArgumentParser(prog="mcpbox bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES + BY_NAME)}; none: all but {BY_NAME[0]}")
    parser.add_argument("--quick", action="store_true", help="runs of 3 s")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(MEASURES + BY_NAME)
    if unknown:
        parser.error(f"no measure {', '.join(sorted(unknown))}; there are: {', '.join(MEASURES + BY_NAME)}")
    node = suites.node_binary()
    if not (HERE / "node_modules").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE, stdout=sys.stderr, check=True)
    folder = Path(tempfile.mkdtemp(prefix="mcpbox-bench-"))
    folder.chmod(0o755)
    try:
        with instance(folder / "data") as product:
            write_tools(product)
            bench = Bench(product, Load(load_generator(), folder, arguments.quick), sdk_server(node))
            for name in [name for name in MEASURES + BY_NAME if name in (arguments.names or MEASURES)]:
                bench.measure(name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = {"machine": machine(), "quick": arguments.quick, "rows": bench.rows, "details": bench.details}
    (OUT / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        print_table(bench)
    return 0 if all(row["ok"] for row in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
