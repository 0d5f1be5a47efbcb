#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Random operations of several clients against a real server, with faults, held against a model.

    soak.py [--minutes N] [--seed N] [--workers N]

Runs in a folder that t/soak.sh made: server.conf, map, certificates, files/. Ends with 1 and the history of the
path when server and model disagree; the folder then shows what stands there. The same seed draws the same
operations, arguments and faults; which of them meet is a matter of timing."""
import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback

import check
import content
import suite as site
import steps
from model import FOLDER, Divergence, Model

STEPS_A_ROUND = 15
COMMAND_S = 120
# What an undisturbed command must not end with, and a disturbed one may.
DISTURBED = {steps.EX_UNAVAILABLE, steps.EX_IO, steps.EX_TEMP}


class Worker:
    def __init__(self, soak, number):
        self.soak, self.number = soak, number
        self.model, self.server = soak.model, soak.server
        self.step = 0
        self.relay = site.Relay(self.server)
        users = (("alice", "carol"), ("bob",), ("alice", "bob"), ("dave",))
        mine = [names[number % len(names)] for names in users]
        there = [area for area in steps.AREAS if os.path.isdir(f"files/{area[2]}")]
        self.areas_all = there
        # One user for each folder: a part belongs to who began it.
        self.areas = [next(a for a in there if a[2] == root and a[0] == user)
                      for root, user in zip(("alice", "bob", "shared", "small"), mine)
                      if any(a[2] == root for a in there)]
        self.folder = f"w{number}"
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(f"{self.folder}/in")
        self.took = collections.defaultdict(lambda: 0.05)  # seconds, by kind
        self.cut = None  # the last upload that was cut
        self.rng = None
        self.rough = False

    def own(self, area):
        return f"{area[2]}/w{self.number}"

    def file(self, name):
        return f"{self.folder}/{name}"

    identity = staticmethod(check.identity)
    matches = is_content = staticmethod(check.matches)
    walk = staticmethod(check.walk)

    def acknowledged(self, key):
        with self.model.lock:
            self.soak.checker.acknowledged[key] += 1

    # -- one round --

    def round(self, number, rough):
        self.rng = random.Random(f"{self.soak.seed}/{number}/{self.number}")
        self.rough = rough
        try:
            for self.step in range(number * STEPS_A_ROUND, (number + 1) * STEPS_A_ROUND):
                if self.soak.failed or time.monotonic() > self.soak.deadline:
                    return
                self.server.up.wait(30)
                self.do(steps.draw(self), self.draw_fault())
        except Divergence as d:
            self.soak.fail(d)
        except Exception:  # pylint: disable=broad-except
            self.soak.fail(Divergence(f"worker {self.number}, step {self.step}:\n{traceback.format_exc()}"))

    def draw_fault(self):
        """What happens to this client alone: None or (kind, amount)."""
        kind = self.rng.random()
        if kind < 0.12:
            return "kill", self.rng.uniform(0, 1.2)
        if kind < 0.14:
            return "pause", self.rng.uniform(0, 1)
        if kind < 0.26:
            way = self.rng.randrange(2)
            size = int(2 ** self.rng.uniform(8, 24))
            return "line", (self.rng.choice(("cut", "cut", "reset", "stall")), way, size)
        return None

    def do(self, op, fault):
        self.model.begin(op)
        began = time.monotonic()
        status, output, errors = self.run(op, fault)
        self.model.end(op, status)
        self.soak.count[op.kind, status] += 1
        if fault:
            self.soak.faults["client " + fault[0]] += 1
        if status == 0 and not fault:
            self.took[op.kind] = 0.8 * self.took[op.kind] + 0.2 * (time.monotonic() - began)
        self.after_parts(op, status)
        self.judge(op, status, fault, errors)
        if op.look:
            op.look(status)
        if status == 0:
            if op.check:
                op.check(steps.parse(output))
            for key in op.audit:
                self.acknowledged(key)
        elif hasattr(op, "group"):
            with self.model.lock:
                self.model.groups.append((op, [(c, c.version, old, new) for c, old, new in op.group]))

    def run(self, op, fault):
        """(exit status, output, what it said)"""
        kind, amount = fault or ("", None)
        config = "consign.conf"
        if kind == "line":
            self.relay.plan = amount
            config = f"{self.folder}.conf"
            self.server.write_profiles(self.relay.port, config)
        out, err = self.file("stdout"), self.file("stderr")
        with open(out, "wb") as o, open(err, "wb") as e:
            client = subprocess.Popen(["consign", "-c", config, "--json", *op.words], stdin=subprocess.DEVNULL,
                                      stdout=o, stderr=e)
            self.server.clients.add(client.pid)
            try:
                if kind in ("kill", "pause"):
                    self.disturb(client, kind, amount * self.took[op.kind])
                status = client.wait(COMMAND_S)
            except subprocess.TimeoutExpired:
                client.kill()
                client.wait()
                raise Divergence(f"{op}: not over after {COMMAND_S} s", next(iter(op.effects), None)) from None
            finally:
                self.server.clients.discard(client.pid)
        with open(out, encoding="utf-8", errors="surrogateescape") as f:
            output = f.read()
        with open(err, encoding="utf-8", errors="replace") as f:
            return status, output, f.read()

    @staticmethod
    def disturb(client, kind, delay):
        try:
            client.wait(delay)
        except subprocess.TimeoutExpired:
            if kind == "kill":
                client.kill()
            else:
                client.send_signal(signal.SIGSTOP)
                time.sleep(1)
                client.send_signal(signal.SIGCONT)

    def after_parts(self, op, status):
        with self.model.lock:
            if status != 0:
                if status != steps.EX_EXISTS:
                    self.cut = op.again or self.cut
                for path in op.puts:
                    self.model.parts.setdefault(path, set()).add(op.user)
            elif not op.crowded:
                # What another user began stays.
                for path in op.takes:
                    users = self.model.parts.get(path, set())
                    users.discard(op.user)
                    if not users:
                        self.model.parts.pop(path, None)

    def judge(self, op, status, fault, errors):
        allowed = op.may(op)
        if fault or self.rough:
            allowed |= DISTURBED
        if fault and fault[0] == "kill":
            allowed.add(-signal.SIGKILL)
        if op.root == "small":
            allowed.add(steps.EX_EXISTS)
        # A part in use, or another user's.
        if op.puts and any("/hot/" in p or self.model.parts.get(p, set()) - {op.user} for p in op.puts):
            allowed.add(steps.EX_TEMP)
        if status not in allowed:
            cell = next(iter(op.effects), None) or next(iter(op.seen), None)
            raise Divergence(f"{op}: ended with {status}, not one of {sorted(allowed)}"
                             f" (fault: {fault}): {errors.strip()}", cell)


class Soak:
    def __init__(self, options):
        self.seed = options.seed
        self.deadline = time.monotonic() + options.minutes * 60
        self.server, self.model = site.Server(), Model()
        self.checker = check.Checker(self.server, self.model, self)
        self.count, self.faults = collections.Counter(), collections.Counter()
        self.failed = []
        self.rounds = 0
        self.said = time.monotonic()
        content.prepare(self.seed)
        self.workers = [Worker(self, n) for n in range(options.workers)]

    def fail(self, divergence):
        self.failed.append(divergence)

    def begin(self):
        """The folders that stay: each worker's own, and the one they share."""
        self.server.start()
        folders = {(area[0], f"{area[2]}/hot", area) for area in self.workers[0].areas}
        folders |= {(area[0], w.own(area), area) for w in self.workers for area in w.areas}
        for _, path, area in sorted(folders):
            subprocess.run(["consign", "-c", "consign.conf", "mkdir", steps.remote(area, path)], check=True, timeout=60)
            self.model.cell(path).possible = {FOLDER}
        self.checker.all(True)

    def round(self, number):
        # Every third without faults of the server: there what isn't disturbed has to succeed.
        rough = number % 3 != 0
        trouble = site.Trouble(self.server, self.seed, number, self.faults, self.fail)
        threads = [threading.Thread(target=w.round, args=(number, rough), daemon=True) for w in self.workers]
        for thread in threads:
            thread.start()
        if rough:
            trouble.thread.start()
        while any(t.is_alive() for t in threads):
            for pid in self.server.below("other"):
                self.checker.peaks["session, store"] = max(self.checker.peaks["session, store"], site.figure(pid, "VmHWM"))
            threads[0].join(0.2)
            if not threads[0].is_alive():
                time.sleep(0.05)
        if rough:
            trouble.end()
        if not self.failed:
            self.checker.all(number % 20 == 19)
        self.rounds += 1
        if time.monotonic() > self.said + 60:
            self.said = time.monotonic()
            print(f"{self.rounds} rounds, {sum(self.count.values())} operations", flush=True)

    def report(self):
        good = sum(n for (_, status), n in self.count.items() if status == 0)
        print(f"seed {self.seed}: {self.rounds} rounds, {sum(self.count.values())} operations, {good} with status 0; "
              f"{self.server.starts} starts of the server"
              + (f", {self.server.mended} tokens mended" if self.server.mended else ""))
        for kind in sorted({kind for kind, _ in self.count}):
            print(f"  {kind:14}", ", ".join(f"{status}: {n}" for (k, status), n in sorted(self.count.items()) if k == kind))
        print("  faults:", ", ".join(f"{kind} {n}" for kind, n in sorted(self.faults.items())))
        print("  largest resident sets, KiB:", ", ".join(f"{role} {n}" for role, n in sorted(self.checker.peaks.items())))
        for divergence in self.failed:
            print(f"DIVERGENCE (seed {self.seed}, round {self.rounds}): {divergence}")
            if divergence.cell:
                print(f"history of {divergence.cell.path}:")
                for line in divergence.cell.history:
                    print("   ", line)

    def run(self):
        try:
            self.begin()
            while not self.failed and time.monotonic() < self.deadline:
                self.round(self.rounds)
            if not self.failed:
                self.checker.finish()
                self.checker.all(True)
                if (status := self.server.stop()) != 0:
                    raise Divergence(f"the server ended with status {status}")
        except Divergence as d:
            self.fail(d)
        finally:
            self.report()
            self.server.end_all()
            if self.failed and os.path.ismount("files/small"):
                shutil.copytree("files/small", "small.kept", dirs_exist_ok=True)
        return 1 if self.failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 24))
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    # An end from outside ends what was started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    site.adopt_orphans()
    print(f"SEED={options.seed}", flush=True)
    sys.exit(Soak(options).run())


if __name__ == "__main__":
    main()
