#!/usr/bin/env python3
"""Answers per second of CPU time, beside unbound and knot, which serve the same names from memory.

    cargo build --release -p proxyd-dns --example serve
    python3 crates/dns/benches/bench.py target/release/examples/serve

All are up at once and take turns: each alone on the first core, dnsperf on the second. Wants
dnsperf, unbound and knot, as Debian packages them, and taskset.
"""

import ipaddress
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

NAMES = 1000
ROUNDS = 5
SECONDS = 3
PORTS = {"proxyd": 15300, "unbound": 15301, "knot": 15302}


def address(n):
    return str(ipaddress.ip_address(0x0A000001 + n))


def unbound(folder):
    lines = [f'local-data: "svc{n}.proxyd.internal. 5 IN A {address(n)}"' for n in range(NAMES)]
    with open(f"{folder}/unbound.conf", "w") as file:
        file.write(
            f"""server:
interface: 127.0.0.1@{PORTS["unbound"]}
num-threads: 1
username: ""
chroot: ""
directory: "{folder}"
pidfile: "{folder}/unbound.pid"
use-syslog: no
do-daemonize: no
module-config: "iterator"
local-zone: "proxyd.internal." static
{chr(10).join(lines)}
remote-control:
control-enable: no
"""
        )
    return ["unbound", "-d", "-c", f"{folder}/unbound.conf"]


def knot(folder):
    with open(f"{folder}/zone", "w") as file:
        file.write("$ORIGIN proxyd.internal.\n$TTL 5\n@ SOA ns hostmaster 1 3600 600 86400 5\n")
        file.write("@ NS ns\nns A 127.0.0.1\n")
        file.writelines(f"svc{n} A {address(n)}\n" for n in range(NAMES))
    with open(f"{folder}/knot.conf", "w") as file:
        file.write(
            f"""server:
    listen: 127.0.0.1@{PORTS["knot"]}
    rundir: "{folder}/run"
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "{folder}/db"
zone:
  - domain: proxyd.internal
    file: "{folder}/zone"
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
"""
        )
    os.mkdir(f"{folder}/run")
    return ["knotd", "-c", f"{folder}/knot.conf"]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(port, questions, seconds):
    perf = ["taskset", "-c", "1", "dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", questions]
    perf += ["-l", str(seconds), "-c", "4", "-q", "400"]
    return subprocess.run(perf, capture_output=True, text=True, check=True).stdout


def until_it_answers(port, questions):
    for _ in range(50):
        said = ask(port, questions, 0.1)
        if "NOERROR" in said and not re.search(r"Queries completed: +0 ", said):
            return
        time.sleep(0.1)
    sys.exit(f"nobody answers at port {port}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        questions = f"{folder}/questions"
        with open(questions, "w") as file:
            file.writelines(f"svc{n}.proxyd.internal A\n" for n in range(NAMES))
        commands = {
            "proxyd": [sys.argv[1], str(NAMES), f"127.0.0.1:{PORTS['proxyd']}"],
            "unbound": unbound(folder),
            "knot": knot(folder),
        }
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        servers = {
            name: subprocess.Popen(["taskset", "-c", "0", *command], stdin=subprocess.PIPE, **quiet)
            for name, command in commands.items()
        }
        found = {name: [] for name in servers}
        rates = {name: [] for name in servers}
        try:
            for name in servers:
                until_it_answers(PORTS[name], questions)
            for _ in range(ROUNDS):
                for name, server in servers.items():
                    before = cpu_seconds(server.pid)
                    said = ask(PORTS[name], questions, SECONDS)
                    used = cpu_seconds(server.pid) - before
                    answered = int(re.search(r"Queries completed: +(\d+)", said)[1])
                    assert f"NOERROR {answered} " in said, said
                    found[name].append(answered / used)
                    rates[name].append(answered / SECONDS)
        finally:
            for server in servers.values():
                server.terminate()
                server.wait()
    for name, each in found.items():
        median, rate = statistics.median(each), statistics.median(rates[name])
        spread = f"{min(each):,.0f} to {max(each):,.0f}"
        print(f"{name:8} {median:10,.0f} answers per CPU second ({spread}), {rate:,.0f} per second")


main()
