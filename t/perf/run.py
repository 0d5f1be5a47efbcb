#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""consign beside its peers: one table, from one run, both ends on this machine. Run by make perf.

  ROWS      some of the rows (rows.py, load.py); default: all but profile, which makes build/perf/profile.txt, and
            idle, crowd and siege, which load a server (load.py)
  PEERS     some of the peers (peers.py); default: all
  SIZE      bytes of the large file, suffix M or G; default 2G
  FILES     files of the small-file rows; default 10000
  TREE      files of the unchanged tree; default 100000
  SESSIONS  short sessions; default 200
  ROUNDS    rounds that count; default 3. One before them does not: it warms up, looks at memory and
            system calls, and compares what arrived
  DISK      folder on the disk to measure; default /var/tmp

The results go to build/perf: table.txt, results.jsonl, a plot (SVG) for each row.
"""
import os
import shlex
import signal
import subprocess
import sys
import time

import measure
import servers
from load import APART, ROWS
from peers import PEERS
from report import Report, Table
from stage import BUILD, Stage


def number(name, default):
    text = os.environ.get(name) or default
    scale = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1].upper())
    return int(text[:-1]) * scale if scale else int(text)


def tool(peer):
    """Its name in PEERS: a row may add in what manner it is used."""
    return peer.partition(" (")[0]


class Bench:
    def __init__(self, stage):
        self.stage = stage
        self.build = BUILD
        self.size = number("SIZE", "2G")
        self.files = number("FILES", "10000")
        self.tree = number("TREE", "100000")
        self.sessions = number("SESSIONS", "200")
        self.count = number("ROUNDS", "3")
        self.wanted = os.environ.get("PEERS", "").split()
        self.running = {}  # name of a server: its pids, or why it is not there
        self.out = Report(self)

    def rounds(self):
        """Round 0 does not count."""
        return range(self.count + 1)

    def table(self, name, amount, unit, aims=None):
        return Table(name, amount, unit, dict(aims or {}))

    def active(self, peers):
        """Those of peers that were asked for."""
        return [
            peer for peer in peers if not self.wanted or tool(peer) in self.wanted + ["consign"]
        ]

    def serving(self, name):
        """The pids of a peer's server, started when it is needed first."""
        if name is None:
            return []
        if name not in self.running:
            try:
                self.running[name] = getattr(servers, name)(self.stage)
            except (RuntimeError, OSError) as why:
                self.running[name] = str(why)
        if isinstance(self.running[name], str):
            raise RuntimeError(self.running[name])
        return self.running[name]

    def job(self, peer, work, here, there, link="local", durable=False):
        """What a peer is to do: a measure.Job. RuntimeError when it can't."""
        peer = PEERS[tool(peer)]
        pids = self.serving(peer.server)
        line = peer.command(work, self.stage, link, here, there, durable)
        if line is None:
            raise RuntimeError(f"has no {work}")
        return measure.Job(line, link, pids, peer.hops if link == "local" else 1)

    def prepare(self, table, peer, work, here, there):
        """Runs a command that is not measured."""
        try:
            measure.run(self.stage, self.job(peer, work, here, there))
        except RuntimeError as why:
            table.fail(peer, why)

    def measure(
        self, table, peer, work, round_, here, there, *, times=1, missing=0, fresh=0, **how
    ):
        """Runs and measures a peer's command; False when it failed, now or before. times: how often
        it runs. missing: the bytes that had to cross. fresh: the memory that it takes for files.
        how: see job."""
        if peer in table.failed:
            return False
        share = 1.0
        try:
            job = self.job(peer, work, here, there, **how)
            if times > 1:
                runs = max(1, round(times * PEERS[tool(peer)].sessions))
                share = runs / times
                loop = f"i=0; while test $i -lt {runs}; do {job.line} || exit; i=$((i + 1)); done"
                job = job._replace(line=loop)
            if how.get("durable"):  # what others left to be written is not for this one
                subprocess.run(["sync", "-f", self.stage.path("here", "disk")], check=True)
            measure.warm(self.stage.path("here", "mem"), fresh + (64 << 20))
            result = (measure.run if round_ else measure.examine)(self.stage, job)
        except RuntimeError as why:
            table.fail(peer, why)
            return False
        if missing:
            result["missing"] = missing
        table.add(peer, round_, result, share)
        return True

    def cut(self, table, peer, work, here, there, at):
        """Kills a peer's command when about at bytes crossed. Returns how many did; 0: failed."""
        if peer in table.failed:
            return 0
        try:
            command = measure.Command(self.stage, self.job(peer, work, here, there))
        except RuntimeError as why:
            table.fail(peer, why)
            return 0
        while command.wire() < at and command.process.poll() is None:
            time.sleep(0.002)
        command.kill()
        command.process.wait()
        command.settle()
        return command.wire()

    def check(self, table, peer, round_, left, right):
        """In the round that doesn't count: both are the same."""
        diff = ["diff", "-rq", "-x", ".consign", left, right]
        if round_ == 0 and subprocess.run(diff, capture_output=True, check=False).returncode:
            table.fail(peer, "what arrived differs")

    def report(self, table):
        self.out.table(table)


def main():
    names = os.environ.get("ROWS", "").split() or [name for name in ROWS if name not in APART]
    for name in names:
        if name not in ROWS:
            sys.exit(f"no row is called {name}; there are: {' '.join(ROWS)}")
    for name in os.environ.get("PEERS", "").split():
        if name not in PEERS:
            sys.exit(f"no peer is called {name}; there are: {' '.join(PEERS)}")
    if os.getuid():
        sys.exit("make perf needs root: for namespaces, for servers that run as another account")
    if "CONSIGN_PERF" not in os.environ:
        os.environ["CONSIGN_PERF"] = "1"
        flags = "--net --mount --pid --fork --mount-proc --kill-child"
        os.execvp("unshare", ["unshare", *shlex.split(flags), sys.executable, *sys.argv])
    # The first process of a namespace does not end by itself.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stage = Stage()
    try:
        bench = Bench(stage)
        for name in names:
            ROWS[name](bench)
        bench.out.close()
    finally:
        stage.close()


if __name__ == "__main__":
    main()
