#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Lengths and numbers that can not be: refused before anything is allocated for them.

    lengths.py PORT CERTIFICATE KEY PID-OF-SERVER FOLDER-OF-USER"""
import glob
import os
import struct

from peer import CHUNK, MESSAGES, Checks, encode, frame_of, main, offer
from watch import children_kib, memory_tells

EARLY, LONGEST = 5120, 1048640
EXTREMES = (0, 1, 2**31 - 1, 2**31, 2**32 - 1)
WIDE = (*EXTREMES, 2**50, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
REQUESTS = [n for n, (number, fields) in MESSAGES.items() if 15 <= number < 32 or number in (62, 63)]


def only_header(site, checks, length, hello):
    """A header alone: refused at once when it is too long or empty, and without what would be behind it."""
    peer = site.peer(hello=hello)
    if hello:
        checks.that(peer.alive(), "alive before a header of", length)
    peer.send(struct.pack(">I", length))
    if 0 < length <= (LONGEST if hello else EARLY):
        return peer
    said = peer.until("ERROR")[-1]
    checks.that(said is not None and said.status == "PROTO", "a frame of", length, "bytes", "later" if hello else "early", said)
    peer.close()
    return None


def headers(site, checks, pid):
    before = children_kib(pid)
    held = []
    for hello in (False, True):
        for length in (*EXTREMES, EARLY, EARLY + 1, LONGEST, LONGEST + 1):
            held.append(only_header(site, checks, length, hello))
    # Those that may be that long wait for the rest; what they hold is no more than a session does.
    held = [p for p in held if p]
    checks.that(len(held) >= 4, "some frames may be that long")
    for _ in range(8):
        held.append(only_header(site, checks, LONGEST, True))
    idle = [site.peer() for _ in range(8)]
    for p in idle:
        checks.that(p.alive(), "idle")
    grown = children_kib(pid)
    plain = sorted(v for k, v in grown.items() if k not in before)
    checks.that(plain[-1] - plain[len(plain) // 2] < 1024 or not memory_tells(pid), "announced lengths take memory: KiB", plain)
    for p in held + idle:
        p.close()


def strings(site, checks):
    """A string that claims to be longer than it may be, or than what is there; and a tail that is too long."""
    for name in REQUESTS:
        number, fields = MESSAGES[name]
        for at, (field, kind, most) in enumerate(fields):
            if kind not in "st":
                continue
            head = b""
            for _, k, _ in fields[:at]:
                head += b"\0\2/x" if k == "s" else bytes(32 if k == "h" else struct.calcsize(">" + k))
            if kind == "s":
                bodies = [head + struct.pack(">H", n) + b"/" + b"x" * size
                          for n, size in ((most + 1, most), (65535, 65534), (65535, 3), (5, 3), (4096, 0))]
            else:
                bodies = [head + b"x" * (most + 1)]
            for body in bodies:
                said = site.peer().ask(frame_of(number, body))
                checks.that(said is not None and said.name == "ERROR" and said.status == "PROTO",
                            name, field, len(body), said)


def offers(site, checks, folder):
    """What is offered: refused, or a part that is no longer than was said."""
    peer = site.peer()
    for length in (*WIDE, 2**48):
        for log2 in (0, 13, 14, 28, 29, 64, 255):
            # Nothing is reserved that could be.
            for allocated in (0, 2**64 - 1) if 1 < length < 2**40 else (0, length, 2**64 - 1):
                peer.send(encode("PUT", id=7, flags=5, path="/huge"),
                          encode("OFFER", id=7, length=length, chunk_log2=log2, allocated=allocated))
                said = peer.until("READY", "DONE", "ERROR")[-1]
                right = said is not None and (said.name == "READY" or said.status in ("PROTO", "LIMIT", "NOSPACE"))
                if said is not None and said.name == "READY":
                    right = 14 <= log2 <= 28 and length < 2**63 and allocated <= length and (length >> log2) <= 2**20
                for data in glob.glob(glob.escape(folder) + "/.consign/parts/*.data"):
                    right = right and os.stat(data).st_size <= length
                checks.that(right, "OFFER", length, log2, allocated, said)
                peer.send(encode("ABORT", id=7))
                if said is not None and said.name == "READY":
                    peer.until("DONE")
                if not checks.that(peer.request("REMOVE", flags=2, path="/huge") is not None, "after OFFER", length, log2):
                    peer = site.peer()
    peer.close()


def answers(site, checks):
    """What a receiver may claim to have."""
    for claim in (4, 2**16 + 1, *WIDE[2:]):
        for field in ("have", "old"):
            peer = site.peer()
            peer.send(encode("GET", id=7, path="/large"), encode("READY", id=7, **{field: claim}))
            said = peer.until("ERROR", "COMMIT")[-1]
            checks.that(said is not None and said.status == "PROTO", "READY", field, claim, said)
            peer.close()


def counts(site, checks):
    """First and count of what covers chunks: three chunks are due."""
    content, peer = b"z" * (2 * CHUNK + 5), site.peer()
    for name in ("KEEP", "SKIP", "HOLE"):
        for first in (0, 1, 2**32, 2**50, 2**63, 2**64 - 1):
            for count in (0, 4, 2**32 - 1, 2**50, 2**63, 2**64 - 1):
                said = peer.ask(encode("PUT", id=7, flags=5, path="/up"), offer(content), encode(name, id=7, first=first, count=count))
                checks.that(said is not None and said.name == "DONE" and said.status == "PROTO", name, first, count, said)
                peer.send(encode("ABORT", id=7))
                if not checks.that(peer.alive(), "after", name, first, count):
                    peer = site.peer()
    peer.close()


def run(site, args):
    pid, folder = int(args[0]), args[1]
    checks = Checks()
    headers(site, checks, pid)
    strings(site, checks)
    offers(site, checks, folder)
    answers(site, checks)
    counts(site, checks)
    return checks.done(300)


main(run)
