#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""A folder and a link to a stranger's one change places as fast as they can, while every request is made on what is in it.

    race.py PORT CERTIFICATE KEY FOLDER-OF-USER CANARY SECONDS [ACCOUNT]

CANARY is a folder with the files "secret" and "only-outside"; the user has /d/secret too. A plain open() in the same folder has
to be fooled meanwhile, and each kind of request to succeed now and then, or the race was none: then it goes on, ten times as long
at most."""
import collections
import ctypes
import os
import pwd
import signal
import struct
import sys
import time

from names_of import requests
from peer import CHUNK, Checks, chunk, commit, encode, main, offer, sha

EXCHANGE, AT_FDCWD = 2, -100
TEXT = b"inside"
# What has to have succeeded in between.
AT_WORK = ("FETCH of what is there", "LIST of it", "SMALL over it", "PUT", "RENAME out", "RENAME in", "MKDIR with parents")


def swap(one, other):
    """Until it is killed, or whoever started it is gone."""
    libc, parent = ctypes.CDLL(None, use_errno=True), os.getppid()
    a, b = os.fsencode(one), os.fsencode(other)
    while os.getppid() == parent:
        for _ in range(1000):
            if libc.renameat2(AT_FDCWD, a, AT_FDCWD, b, EXCHANGE):
                os._exit(1)
    os._exit(0)


def fooled(path):
    """Whether open() got out."""
    try:
        with open(path, "rb") as f:
            return f.read() != TEXT
    except OSError:
        return False


def round_of(n):
    """Frames, each of which ends with a DONE."""
    name = b"/d/new%d" % (n % 7)
    for what, frame in requests(name, b"/d/secret2", b"/d/there"):
        yield what, frame
    for name in ("FETCH", "STAT"):
        yield name + " of what is there", encode(name, id=7, path="/d/secret")
        yield name + " of what is outside", encode(name, id=7, path="/d/only-outside")
    yield "LIST of it", encode("LIST", id=7, path="/d")
    yield "WALK of it", encode("WALK", id=7, path="/")
    yield "STATS of it", encode("STATS", id=7, path="/d", names=struct.pack(">H", 12) + b"only-outside")
    yield "PENDING of it", encode("PENDING", id=7, path="/")
    yield "SMALL over it", encode("SMALL", id=7, flags=1, mode=0o644, path="/d/secret", root=sha(TEXT), bytes=TEXT)
    yield "SMALL over another", encode("SMALL", id=7, flags=1, mode=0o644, path="/d/secret2", root=sha(TEXT), bytes=TEXT)
    yield "REMOVE of what is outside", encode("REMOVE", id=7, path="/d/only-outside")
    yield "RENAME of what is outside", encode("RENAME", id=7, **{"from": "/d/only-outside", "to": "/got"})
    yield "RENAME out", encode("RENAME", id=7, flags=1, **{"from": "/d/secret2", "to": "/free"})
    yield "RENAME in", encode("RENAME", id=7, flags=1, **{"from": "/free", "to": "/d/secret2"})
    yield "PUT", encode("PUT", id=7, flags=5, path="/d/large") + offer(LARGE, 7) + chunk(LARGE, 0, 7) + chunk(LARGE, 1, 7) + commit(LARGE, 7)


LARGE = bytes(range(256)) * (CHUNK // 256) + b"tail"


def run(site, args):
    folder, canary, seconds = args[0], args[1], float(args[2])
    account = pwd.getpwnam(args[3]) if len(args) > 3 and args[3] else None
    checks, good, lost, rounds = Checks(), collections.Counter(), 0, 0
    os.symlink(canary, folder + "/l")
    before = (os.stat(canary).st_mtime_ns, os.stat(canary).st_ctime_ns, sorted(os.listdir(canary)))
    for name in ("d", "d/secret", "d/secret2"):
        if name == "d":
            os.mkdir(folder + "/d")
        else:
            with open(folder + "/" + name, "wb") as f:
                f.write(TEXT)
        if account:
            os.chown(folder + "/" + name, account.pw_uid, account.pw_gid)
    pid = os.fork()
    if pid == 0:
        swap(folder + "/d", folder + "/l")
    peer, end = site.peer(), time.monotonic() + seconds
    last = end + 9 * seconds
    while time.monotonic() < (end if lost and all(good[w] for w in AT_WORK) else last):
        lost += sum(fooled(folder + "/d/secret") for _ in range(50))
        # A PUT that is refused leaves its COMMIT to end it.
        for what, frame in round_of(rounds):
            peer.send(frame)
            seen = peer.until("DONE", "OFFER", "ERROR")
            if seen[-1] is not None and seen[-1].name == "OFFER":
                peer.send(encode("DONE", id=7, status=9))
                peer.until("ABORT")
            if seen[-1] is None or seen[-1].name == "ERROR":
                checks.that(False, what, seen[-1])
                peer = site.peer()
                continue
            good[what] += seen[-1].status in ("OK", None)
            for f in seen:
                text = b"".join(v for v in f.fields.values() if isinstance(v, bytes) and f.name in ("ENTRY", "SMALL", "PART"))
                if f.name == "ITEMS" and (what.startswith("WALK") or f.items[2:3] == b"\1"):
                    text += f.items
                if b"stranger" in text or b"only-outside" in text:
                    checks.that(False, what, "told", text[:80])
        rounds += 1
    checks.that(os.waitpid(pid, os.WNOHANG) == (0, 0), "the race went on to the end")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    checks.that(lost > 0, "a plain open() was fooled: else this shows nothing")
    now = (os.stat(canary).st_mtime_ns, os.stat(canary).st_ctime_ns, sorted(os.listdir(canary)))
    checks.that(now == before, "the stranger's folder was touched", before, now)
    with open(canary + "/secret", "rb") as f:
        checks.that(f.read().startswith(b"a stranger's"), "the stranger's file was changed")
    for what in ("FETCH of what is outside", "STAT of what is outside", "REMOVE of what is outside", "RENAME of what is outside"):
        checks.that(good[what] == 0, what, good[what])
    for what in AT_WORK:
        checks.that(good[what] > 0, what, "was never there in time: it shows nothing")
    checks.that(peer.alive(), "the connection goes on")
    print("%d rounds, open() fooled %d times, good: %s" % (rounds, lost, dict(good)), file=sys.stderr)
    return checks.done(10)


main(run)
