# SPDX-License-Identifier: ISC
"""One command, measured: seconds, CPU, bytes on the wire; and, in a round that does not count,
memory and system calls."""
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from typing import NamedTuple

LIMIT = 1200  # seconds a command may take
TICK = os.sysconf("SC_CLK_TCK")


def tree(pids):
    """pids and all their descendants that live."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                    parent = int(f.read().rpartition(") ")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(name))
    found = list(pids)
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu(pids):
    """CPU seconds of pids and their descendants, the ended ones (that were waited for) too."""
    ticks = 0
    for pid in tree(pids):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
                ticks += sum(int(n) for n in f.read().rpartition(") ")[2].split()[11:15])
        except OSError:
            pass
    return ticks / TICK


def peak(pids):
    """The largest resident set that any of pids had so far, bytes."""
    most = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
                hit = re.search(r"^VmHWM:\s*(\d+)", f.read(), re.M)
                most = max(most, int(hit[1]) * 1024 if hit else 0)
        except OSError:
            pass
    return most


def warm(folder, n):
    """Writes and frees n bytes of memory: a virtual machine gives what lies free for a few seconds
    back to its host, and the next use of it is several times slower."""
    piece = bytes(1 << 20)
    path = os.path.join(folder, ".warm")
    with open(path, "wb", buffering=0) as f:
        for _ in range(n >> 20):
            f.write(piece)
    os.remove(path)


class Job(NamedTuple):
    """What a client is to do."""

    line: str  # a shell command
    link: str = "local"
    servers: list = []  # pids of what serves it
    hops: int = 1  # how often the same bytes pass the counter


class Command:
    """A job that was started."""

    def __init__(self, stage, job):
        self.stage, self.job = stage, job
        stage.tune(job.link)
        argv = stage.client(job.link) + ["sh", "-c", job.line]
        self.idle = len(tree(job.servers))
        self.cpu_before = cpu(job.servers)
        self.wire_before = stage.wire(job.link)
        self.errors = tempfile.TemporaryFile()
        self.begin = time.perf_counter()
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            start_new_session=True,
        )

    def wire(self):
        return (self.stage.wire(self.job.link) - self.wire_before) / self.job.hops

    def kill(self, number=signal.SIGKILL):
        os.killpg(self.process.pid, number)

    def wait(self):
        """Seconds, CPU seconds and bytes, when it has ended; RuntimeError when it failed."""
        timer = threading.Timer(LIMIT, self.kill)
        timer.start()
        try:
            _, status, usage = os.wait4(self.process.pid, 0)
        finally:
            timer.cancel()
        seconds = time.perf_counter() - self.begin
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.settle()
        if self.process.returncode:
            self.errors.seek(0)
            said = self.errors.read().decode(errors="replace").strip().splitlines()
            why = "; ".join(said[-2:]) or f"exit status {self.process.returncode}"
            raise RuntimeError(why)
        return {
            "seconds": seconds,
            "cpu": usage.ru_utime + usage.ru_stime + cpu(self.job.servers) - self.cpu_before,
            "wire": self.wire(),
        }

    def settle(self):
        """Until the server's processes for it are gone."""
        for _ in range(200):
            if len(tree(self.job.servers)) <= self.idle:
                return
            time.sleep(0.01)


def run(stage, job):
    return Command(stage, job).wait()


def examine(stage, job):
    """The same in more detail, slower: peak memory of the largest process of each end, system
    calls."""
    counts = [stage.path(f"calls.{side}") for side in ("client", "server")]
    perf = "exec perf stat -x, -e raw_syscalls:sys_enter -o"
    counter = None
    if job.servers:
        pids = ",".join(str(pid) for pid in tree(job.servers))
        counter = subprocess.Popen(
            ["sh", "-c", f"{perf} {counts[1]} -p {pids}"], stderr=subprocess.DEVNULL
        )
        time.sleep(0.3)
    memory = {"client": 0, "server": 0}
    for pid in tree(job.servers):  # what they had for others before
        with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")
    quoted = job.line.replace("'", "'\\''")
    command = Command(stage, job._replace(line=f"{perf} {counts[0]} -- sh -c '{quoted}'"))
    ended = threading.Event()

    def watch():
        while not ended.wait(0.03):
            mine = tree([command.process.pid])
            mine = [pid for pid in mine if program(pid) not in ("perf", "sh")]
            memory["client"] = max(memory["client"], peak(mine))
            memory["server"] = max(memory["server"], peak(tree(job.servers)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = command.wait()
    finally:
        ended.set()
        watcher.join()
        if counter:
            counter.send_signal(signal.SIGINT)
            counter.wait()
    return {**result, "memory": memory, "calls": sum(calls(path) for path in counts)}


def sample(stage, job):
    """Runs job under perf: {"client": where its time went, "server": the same}."""
    data = {end: stage.path(f"samples.{end}") for end in ("client", "server")}
    record = "exec perf record -q -F 2000 -o"
    pids = ",".join(str(pid) for pid in tree(job.servers))
    watcher = subprocess.Popen(["sh", "-c", f"{record} {data['server']} -p {pids}"])
    time.sleep(0.5)
    try:
        Command(stage, job._replace(line=f"{record} {data['client']} -- {job.line}")).wait()
    finally:
        watcher.send_signal(signal.SIGINT)
        watcher.wait()

    def report(path, limit, sort):
        line = f"perf report --stdio -q -i {path} --percent-limit {limit} --sort {sort} 2>/dev/null"
        done = subprocess.run(line, shell=True, text=True, capture_output=True, check=False)
        return "".join(l.rstrip() + "\n" for l in done.stdout.splitlines() if l.strip())

    return {
        end: report(path, 1, "dso") + report(path, 1.5, "dso,sym") for end, path in data.items()
    }


def program(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
            return f.read().strip()
    except OSError:
        return "sh"


def calls(path):
    """What perf stat counted; 0 when it could not."""
    try:
        with open(path, encoding="utf-8") as f:
            return sum(int(line.split(",")[0]) for line in f if line[:1].isdigit())
    except OSError:
        return 0
