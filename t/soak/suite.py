# SPDX-License-Identifier: ISC
"""The server under test, its processes, and the line to it."""
import ctypes
import glob
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

from model import Divergence

USERS = ("alice", "bob", "carol", "dave")
PR_SET_CHILD_SUBREAPER = 36
SEES_ALL = os.geteuid() == 0  # others may not look at what the server's processes hold: the scribe is not known then
LOGIN_S = 4  # until a signer has logged in, with time to spare


def adopt_orphans():
    """What loses its parent becomes our child: sessions of a killed master can be found and ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def stat_of(pid):
    """(state, parent) of a process; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
        return fields[0], int(fields[1])
    except (OSError, IndexError, ValueError):
        return None


def descendants(pid):
    """pid -> (state, parent) of all processes below pid."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (known := stat_of(name)):
            children.setdefault(known[1], []).append((int(name), known))
    found, todo = {}, [pid]
    while todo:
        for child, known in children.get(todo.pop(), ()):
            found[child] = known
            todo.append(child)
    return found


def send(pid, number):
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def figure(pid, key):
    """A figure of /proc/PID/status in KiB; 0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            for line in f:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def age(pid):
    """Seconds since a process was started; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            start = int(f.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start


def descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


class Server:
    def __init__(self):
        self.process = None
        self.port = 0
        self.up = threading.Event()
        self.clients = set()  # pids that others wait for
        self.starts = 0
        self.mended = 0
        self.log = open("server.log", "ab")

    def start(self):
        """On the port of before, where nobody else took it meanwhile."""
        try:
            self.start_at(self.port)
        except RuntimeError:
            if not self.port:
                raise
            time.sleep(1.5)
            self.start_at(0)
        self.starts += 1
        self.up.set()

    def mend_token(self):
        """A signer may still have been hit while it logged in: its token is a file of no length then."""
        for file in glob.glob("softhsm/tokens/*/token.object"):
            kept = f"{os.path.basename(os.path.dirname(file))}.token"
            try:
                st = os.stat(file)
                if st.st_size:
                    if not os.path.exists(kept):
                        shutil.copyfile(file, kept)
                elif time.time() - st.st_mtime > 1:
                    shutil.copyfile(kept, file)
                    self.mended += 1
            except FileNotFoundError:
                pass

    def start_at(self, port):
        self.mend_token()
        subprocess.run(["sed", "-i", f"s/^listen *=.*/listen = 127.0.0.1:{port}/", "server.conf"], check=True)
        ready, told = os.pipe()
        self.process = subprocess.Popen(
            ["consignd", "--config", "server.conf", "--ready-fd", str(told)],
            pass_fds=[told], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        os.close(told)
        with os.fdopen(ready) as f:
            line = f.readline() if select.select([f], [], [], 30)[0] else ""
        if not line.startswith("ready "):
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"consignd is not ready: {line!r}; see server.log")
        self.port = int(line.rpartition(":")[2])
        self.write_profiles(self.port, "consign.conf")

    @staticmethod
    def write_profiles(port, file):
        with open(file + ".new", "w", encoding="utf-8") as f:
            for user in USERS:
                f.write(f"[{user}]\nhost = 127.0.0.1\nport = {port}\nca = ca/ca.pem\ncrl = ca/crl.pem\n"
                        f"certificate = {user}.pem\nkey = {user}.key\n")
        os.rename(file + ".new", file)

    @property
    def master(self):
        return self.process.pid

    def role(self, pid):
        """master, keeper, signer, usher, scribe or other (session, store, sweeper)."""
        if pid == self.master:
            return "master"
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
                if f.read().strip() == "consign-usher":
                    return "usher"
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            for role in ("keeper", "signer"):
                if f"--{role}".encode() in words:
                    return role
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}").endswith("/server.audit"):
                    return "scribe"
        except OSError:
            pass
        return "other"

    def below(self, role):
        """The master's children of that role; a signer is its keeper's."""
        return [p for p, (_, parent) in descendants(self.master).items()
                if (parent == self.master or role == "signer") and self.role(p) == role]

    def killable(self, pid):
        """SoftHSM writes a token's file anew, in place, when somebody logs in: a signer that is killed then takes the
        token with it. So young ones are spared, and with them the keepers that they end with."""
        return self.role(pid) not in ("keeper", "signer") or age(pid) > LOGIN_S

    def kill(self, whole):
        """SIGKILL for the master, and for all below it with whole set; returns once it is reaped."""
        self.up.clear()
        below = [p for p in descendants(self.master) if self.killable(p)] if whole else []
        self.process.kill()
        for pid in below:
            if self.killable(pid):
                send(pid, signal.SIGKILL)
        self.process.wait()

    def reap(self, found):
        """Collects adopted processes that ended."""
        me = os.getpid()
        for pid, (state, parent) in found.items():
            if state == "Z" and parent == me and pid != self.master and pid not in self.clients:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass

    def quiet(self, seconds):
        """Waits until only master, keeper, signer, usher and scribe run. Returns the processes that are too many, or that
        there are too few of them; None when all is well."""
        until = time.monotonic() + seconds
        while True:
            found = descendants(os.getpid())
            self.reap(found)
            roles = sorted(self.role(p) for p, (state, _) in found.items() if state != "Z")
            wanted = ["keeper", "master", "signer", "usher", "scribe" if SEES_ALL else "other"]
            if roles == sorted(wanted) and len(found) == len(wanted):
                return None
            if time.monotonic() > until:
                return found
            self.mend_token()
            time.sleep(0.02)

    def stop(self):
        """An orderly end; returns the exit status."""
        self.up.clear()
        self.process.terminate()
        return self.process.wait(timeout=60)

    def end_all(self):
        """Whatever happened: nothing that came of us is left."""
        for _ in range(50):
            found = descendants(os.getpid())
            for pid in found:
                send(pid, signal.SIGCONT)
                send(pid, signal.SIGKILL)
            self.reap(found)
            if self.process and self.process.poll() is None:
                self.process.wait()
            if not found:
                break
            time.sleep(0.05)


class Relay:
    """A line of its own for one client: forwards to the server until its plan says otherwise.
    plan: None, or (kind, direction, bytes), kind "cut", "reset" or "stall"."""

    def __init__(self, server):
        self.server = server
        self.plan = None
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.carry, args=(client, self.plan), daemon=True).start()

    def carry(self, client, plan):
        try:
            server = socket.create_connection(("127.0.0.1", self.server.port))
        except OSError:
            client.close()
            return
        kind, direction, left = plan or ("", 0, 0)
        ends = (client, server)
        try:
            while True:
                for end in select.select(ends, [], [], 120)[0]:
                    n = 65536
                    watched = kind and ends[direction] is end
                    if watched:
                        n = max(1, min(n, left))
                    data = end.recv(n)
                    if not data:
                        return
                    ends[end is client].sendall(data)
                    if watched:
                        left -= len(data)
                    if watched and left <= 0:
                        if kind != "stall":
                            return
                        time.sleep(1)
                        kind = ""
        except OSError:
            pass
        finally:
            for end in ends:
                if kind == "reset":
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.close()


class Trouble:
    """Faults of the server's side, at random times while a round runs."""

    KINDS = (("session", 8), ("stop", 6), ("keeper", 2), ("signer", 2), ("scribe", 2), ("usher", 2), ("master", 1), ("whole", 2), ("reload", 1))

    def __init__(self, server, seed, number, count, fail):
        self.server, self.count, self.fail = server, count, fail
        self.rng = random.Random(f"{seed}/{number}/trouble")
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        names, weights = zip(*self.KINDS)
        while not self.over.wait(self.rng.uniform(0.05, 1.2)):
            kind = self.rng.choices(names, weights)[0]
            try:
                self.count[kind] += self.do(kind)
            except RuntimeError as e:
                self.fail(Divergence(str(e)))
                return

    def do(self, kind):
        """Whether it happened: the process may not be there."""
        server = self.server
        if kind in ("master", "whole"):
            server.kill(kind == "whole")
            self.over.wait(self.rng.uniform(0, 0.3))
            server.start()
            return True
        if kind == "reload":
            return send(server.master, signal.SIGHUP)
        if kind == "stop":
            return self.pause()
        # The pair of a connection is session and store: either may be the one.
        found = [p for p in server.below("other" if kind == "session" else kind) if server.killable(p)]
        return bool(found) and send(self.rng.choice(sorted(found)), signal.SIGKILL)

    def pause(self):
        role = self.rng.choice(("other", "other", "other", "keeper", "signer", "usher", "scribe", "master"))
        found = [self.server.master] if role == "master" else self.server.below(role)
        if not found:
            return False
        pid = self.rng.choice(sorted(found))
        stopped = send(pid, signal.SIGSTOP)
        if stopped:
            self.over.wait(1)
            send(pid, signal.SIGCONT)
        return stopped

    def end(self):
        self.over.set()
        self.thread.join()
