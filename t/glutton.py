#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""What a session and its store come to hold, whatever is sent to them.

    glutton.py MASTER PORT CERTIFICATE KEY WORK...

For each WORK a connection of its own does that until the server ends it or takes no more, and reads nothing unless it
says so. Then a line: WORK, and by how many KiB the resident memory of the connection's processes had grown at most
(VmHWM) since they were forked, the session's first. MASTER is the pid of the server."""
import hashlib
import os
import re
import socket
import struct
import sys
import time
import zlib

import rawclient

SECONDS = float(os.environ.get("GLUTTON_SECONDS", "1.2"))  # of a connection that takes no more


def children(master):
    with open(f"/proc/{master}/task/{master}/children", encoding="ascii") as f:
        return [int(pid) for pid in f.read().split()]


def memory(pid, key):
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            return int(re.search(rf"^{key}:\s*(\d+)", f.read(), re.M)[1])
    except (OSError, TypeError):
        return 0


def frame(name, **fields):
    return rawclient.message([name] + [f"{k}={v}" for k, v in fields.items()])


def root_of_zeros(size):
    """The tree's node above so many zeros, a power of two."""
    node, below = hashlib.sha256(bytes(16384)).digest(), 16384
    while below < size:
        node, below = hashlib.sha256(node + node).digest(), 2 * below
    return node


CHUNK_OF_ZEROS = root_of_zeros(1 << 20)


def data(index, kind, content):
    """A chunk of zeros, and its hash."""
    body = struct.pack(">IQIB", 1, index, 0, kind) + content
    end = struct.pack(">IBIQ", 45, 52, 1, index) + CHUNK_OF_ZEROS
    return struct.pack(">IB", len(body) + 1, 51) + body + end


def numbered(name, n, **fields):
    return b"".join(frame(name, id=i + 1, **fields) for i in range(n))


PUT = frame("PUT", path="/up") + frame("OFFER", length=1 << 30)
ZEROS = zlib.compress(bytes(1 << 20), 9)

# What is sent once, and then again and again.
WORKS = {
    "frame-4G": (b"\xff\xff\xff\xff\x10", b"x" * 65536),
    "frame-1M": (struct.pack(">I", (1 << 20) + 60) + b"\x10", b"x" * 65536),
    "pings": (b"", numbered("PING", 1000)),
    "lists": (b"", numbered("LIST", 100, path="/many")),
    "walks": (b"", numbered("WALK", 10, path="/") + numbered("NEXT", 100)),
    "stats": (b"", numbered("STATS", 1, path="/many", names=(b"\x04none" * 13000).hex())),
    "smalls": (b"", numbered("SMALL", 8, path="/s", flags=1, bytes=bytes(128 * 1024).hex(), root=root_of_zeros(128 * 1024).hex())),
    "fetches": (b"", numbered("FETCH", 1000, path="/big")),
    "gets": (b"", numbered("GET", 10, path="/huge")),
    "data": (PUT, b"".join(data(i, 0, bytes(1 << 20)) for i in range(32))),
    "bombs": (PUT, b"".join(data(i, 1, struct.pack(">I", 1 << 20) + ZEROS) for i in range(1024))),
    "bomb-4G": (PUT, data(0, 1, struct.pack(">I", (1 << 32) - 1) + ZEROS)),
    "bomb-longer": (PUT, data(0, 1, struct.pack(">I", 4096) + ZEROS[:2000])),
    "keeps": (PUT, frame("KEEP", first=0, count=1 << 40) + frame("COPY", index=0, count=1 << 62)),
    "metas": (b"", numbered("META", 4, path="/f", flags=0, set=(b"x" * 65000).hex())),
    "ignored": (b"", struct.pack(">IB", 1 << 20, 200) + bytes((1 << 20) - 1)),
    # Before the handshake: a certificate of 16 MiB, records that say nothing.
    "hello-16M": (None, b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16380)),
    "records": (None, b"\x16\x03\x01\x00\x01\x01" * 10000),
}


def push(s, first, again):
    """Sends until nothing goes any more."""
    s.settimeout(1)
    until = time.monotonic() + SECONDS
    waiting = memoryview(first)
    try:
        while time.monotonic() < until:
            if not waiting:
                waiting = memoryview(again)
            try:
                n = s.send(waiting[:16384])
                waiting = waiting[n:]
            except TimeoutError:
                continue
    except OSError as why:
        print("#", why, flush=True)


def run(master, port, certificate, key, work):
    first, again = WORKS[work]
    before = set(children(master))
    if first is None:
        s = socket.create_connection(("127.0.0.1", port), 20)
    else:
        server = rawclient.Server(port, certificate, key)
        server.frame()
        server.socket.sendall(frame("HELLO", agent="x") + frame("PING"))
        server.frame()
        s = server.socket
    while not (mine := sorted(set(children(master)) - before)):
        time.sleep(0.01)
    base = {pid: memory(pid, "VmRSS") for pid in mine}
    peak = dict(base)
    pid = os.fork()
    if pid == 0:
        push(s, first or b"", again)
        os._exit(0)
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        for one in mine:
            peak[one] = max(peak[one], memory(one, "VmHWM"))
        time.sleep(0.02)
    print(work, *(peak[one] - base[one] for one in mine), flush=True)
    s.close()


def main():
    master, port = int(sys.argv[1]), int(sys.argv[2])
    for work in sys.argv[5:] or WORKS:
        run(master, port, sys.argv[3], sys.argv[4], work)


if __name__ == "__main__":
    main()
