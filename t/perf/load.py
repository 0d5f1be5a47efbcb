# SPDX-License-Identifier: ISC
"""Rows of load, apart from the others: make perf ROWS="idle crowd siege".

  IDLE      sessions that are held at once; default 2000
  CROWD     clients that come at once, each with a file of 1 MiB; default 1000
  SLOW      handshakes of a byte a second in the siege; default 500
  GARBAGE   connections in the siege that send what is no TLS; default 10000

Each has a server of its own, with places for all. Nothing here is compared with others; the results are lines in
build/perf/load.txt and on standard output."""
import os
import re
import select
import subprocess
import sys
import time

import measure
from rows import APART, ROWS, random_file, remove, row
from stage import BUILD

__all__ = ["APART", "ROWS"]  # its own among them
PORT = 7414
HERE = os.path.dirname(os.path.realpath(__file__))


def amount(name, default):
    return int(os.environ.get(name) or default)


def say(bench, line):
    print(line, flush=True)
    os.makedirs(f"{bench.build}/perf", exist_ok=True)
    with open(f"{bench.build}/perf/load.txt", "a", encoding="utf-8") as out:
        out.write(line + "\n")


def server(bench, limits):
    """A server with these limits, its map that of consignd; its pid."""
    bench.serving("consignd")
    stage = bench.stage
    stage.write(
        "load.conf",
        f"""
        [server]
        listen = *:{PORT}
        certificate = server.pem
        key = server.key
        map = load.map
        audit = load.audit
        [limits]
        {limits}
        [anchor perf]
        ca = ca.pem
        crl-policy = if-present
        """,
    )
    with open(stage.path("map"), encoding="utf-8") as f:
        stage.write("load.map", re.sub(r"(?m)^sessions = .*", "sessions = 100000", f.read()))
    with open(stage.path("consign.conf"), encoding="utf-8") as f:
        local = f.read().split("[slow]")[0]
    stage.write("load-client.conf", re.sub(r"port = .*", f"port = {PORT}", local))
    subprocess.run(["sysctl", "-qw", "net.core.somaxconn=4096"], check=False)
    return stage.start(f"{BUILD}/consignd -q -c load.conf", "load", PORT)


def end(bench, pid):
    process = next(p for p in bench.stage.processes if p.pid == pid)
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    bench.stage.processes.remove(process)


def private(pid):
    """KiB of memory that is this process's alone, page tables included; and of page tables."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        own = sum(int(n) for n in re.findall(r"^Private_\w+:\s+(\d+)", f.read(), re.M))
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
        tables = int(re.search(r"^VmPTE:\s+(\d+)", f.read(), re.M)[1])
    return own, tables


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(one) for one in f.read().split()]


@row("idle", apart=True)
def idle(bench):
    """Sessions that are authorised and silent: set-up, and the memory of each with its store."""
    count = amount("IDLE", 2000)
    limits = f"sessions = {2 * count}\nsessions-per-address = {2 * count}"
    pid = server(bench, limits)
    stage, others = bench.stage, set(children(pid))
    line = [f"{BUILD}/t/perf/handshakes", "hold", "127.0.0.1", str(PORT), stage.path("user.pem"),
            stage.path("user.key"), str(count), str(2 * os.cpu_count())]
    clients = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if not select.select([clients.stdout], [], [], 120)[0]:
            raise RuntimeError("the sessions do not stand")
        seconds = float(clients.stdout.readline().split()[1])
        time.sleep(1)
        own = [private(one) for one in children(pid) if one not in others]
        memory, tables = (sum(column) / count for column in zip(*own))
        say(bench, f"idle: {count} sessions set up in {seconds:.2f} s, {count / seconds:.0f} a second; private memory of"
            f" a session and its store {memory:.0f} KiB, page tables {tables:.0f} KiB, {len(own)} processes")
    finally:
        clients.stdin.close()
        clients.wait(30)
        end(bench, pid)


@row("crowd", apart=True)
def crowd(bench):
    """Clients that start at once, each a process that puts a file of 1 MiB."""
    count = amount("CROWD", 1000)
    stage = bench.stage
    pid = server(bench, f"sessions = {2 * count}\nsessions-per-address = {2 * count}")
    source = random_file(stage.path("here", "mem", "source"), 1 << 20)
    client = f"{BUILD}/consign -q -c {stage.path('load-client.conf')} put {source} local:/mem/crowd"
    begin = time.perf_counter()
    running = {}
    for n in range(count):
        process = subprocess.Popen(f"exec {client}{n}", shell=True, stderr=subprocess.DEVNULL)
        running[process.pid] = process, time.perf_counter()
    started = time.perf_counter() - begin
    times, lost = [], 0
    while running:  # whose processes are kept, or subprocess would wait for them
        one, status = os.waitpid(-1, 0)
        if one in running:
            times.append(time.perf_counter() - running.pop(one)[1])
            lost += status != 0
    seconds = time.perf_counter() - begin
    there = stage.path("there", "mem")
    whole = sum(os.path.getsize(f"{there}/{f}") == 1 << 20 for f in os.listdir(there) if f.startswith("crowd"))
    times.sort()
    say(bench, f"crowd: {count} clients of 1 MiB, started within {started:.1f} s: {lost} lost, {whole} files whole; half within"
        f" {times[len(times) // 2]:.2f} s, 99 % within {times[len(times) * 99 // 100]:.2f} s, all in {seconds:.2f} s")
    for f in os.listdir(there):
        if f.startswith("crowd"):
            remove(f"{there}/{f}")
    end(bench, pid)


@row("siege", apart=True)
def siege(bench):
    """A user's upload while others open slow handshakes and send garbage, beside the same undisturbed."""
    slow, garbage = amount("SLOW", 500), amount("GARBAGE", 10000)
    stage = bench.stage
    # The besiegers come from 100 addresses that are none of this host's as far as the server knows.
    pid = server(bench, "penalty-exempt = 127.0.0.1")
    source = random_file(stage.path("here", "mem", "source-big"), bench.size)
    client = f"{BUILD}/consign -q -c {stage.path('load-client.conf')} put {source} local:/mem/siege"
    rates = {True: [], False: []}
    script = [sys.executable, os.path.join(HERE, "..", "siege.py")]

    def attack(file):
        return [subprocess.Popen(script + ["slow", str(PORT), str(slow), "100", file], stdout=subprocess.DEVNULL),
                subprocess.Popen(script + ["garbage", str(PORT), str(garbage), "100"], stdout=subprocess.PIPE, text=True)]

    for round_ in bench.rounds():
        for besieged in False, True:
            file = stage.path(f"over{round_}")
            attackers = attack(file) if besieged else []
            if besieged:
                time.sleep(0.5)
            measure.warm(stage.path("here", "mem"), bench.size)
            begin = time.perf_counter()
            subprocess.run(client, shell=True, check=True)
            if round_:
                rates[besieged].append(bench.size / (time.perf_counter() - begin) / (1 << 20))
            remove(stage.path("there", "mem", "siege"))
            with open(file, "w", encoding="ascii"):
                pass
            for one in attackers:
                one.wait(150)
            if besieged:
                os.remove(file)
                time.sleep(16)  # until those that were shut out may come again

    def middle(list_):
        return sorted(list_)[len(list_) // 2]

    quiet, loud = middle(rates[False]), middle(rates[True])
    out = subprocess.run([f"{BUILD}/consignd", "-c", stage.path("load.conf"), "--status"], capture_output=True, text=True,
                         check=False).stdout
    gate = next((l for l in out.splitlines() if l.startswith("handshakes")), "")
    say(bench, f"siege: {slow} slow handshakes and {garbage} of garbage: {loud:.0f} MiB/s, undisturbed {quiet:.0f}: {loud / quiet:.2f}"
        f" ({gate})")
    remove(source)
    end(bench, pid)
