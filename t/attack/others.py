#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Unfinished uploads: what another user can find out of one, and what it is worth after somebody was at its files.

    others.py PORT CERTIFICATE KEY CERTIFICATE-OF-BOB KEY-OF-BOB FOLDER FOLDER-OF-BOB AUDIT

The first certificate is alice's; each has a folder of their own."""
import hashlib
import json
import os
import shutil
import threading

from peer import CHUNK, Checks, Site, chunk, commit, encode, main, offer, put, sha

CONTENT = hashlib.shake_128(b"others").digest(5 * CHUNK + 9)
CHUNKS = 6


def guesses(path):
    token = sha(b"token")
    for name in ("STAT", "GET", "FETCH", "PENDING", "META_GET"):
        yield encode(name, id=7, path=path)
    yield encode("REMOVE", id=7, flags=2, path=path)
    yield encode("REMOVE", id=7, path=path)
    yield encode("JOIN", id=7, path=path, token=token) + offer(CONTENT) + encode("ABORT", id=7)
    yield encode("RENAME", id=7, **{"from": path, "to": "/got"})


def strangers(alice, bob, checks, audit):
    """P6: while alice uploads /plan, bob asks for it, and for what nobody has: there is no difference, nor in the records."""
    holder = alice.peer()
    holder.send(encode("PUT", id=7, flags=21, path="/plan"), offer(CONTENT), chunk(CONTENT, 0), chunk(CONTENT, 1))
    checks.that(holder.until("READY")[-1] is not None, "alice's upload")
    said, peer = {}, bob.peer()
    session = peer.welcome.session.decode()
    for path in ("/plan", "/none"):
        answers = []
        for frame in guesses(path):
            peer.send(frame)
            answers.append([repr(f).replace(path, "/PATH") for f in peer.until("DONE", "ERROR")])
        said[path] = answers
    checks.that(said["/plan"] == said["/none"], "a difference in what bob is told", said)
    checks.that(not any("alice" in str(a) for a in said["/plan"]), "alice's name", said["/plan"])
    # What is alice's by its number only has to be bob's by his: there is no upload of his.
    for frame in (chunk(CONTENT, 2), commit(CONTENT), encode("ABORT", id=7), encode("FINISH", id=7)):
        done = bob.peer().ask(frame)
        checks.that(done is not None and done.name == "ERROR" and done.status == "PROTO", "bob, in alice's upload", done)
    checks.that(peer.alive(), "bob goes on")
    peer.close()
    records = {"/plan": [], "/none": []}
    with open(audit, encoding="utf-8") as f:
        for line in f:
            record = json.loads(line)
            path = record.get("path")
            if record.get("session") == session and path in records:
                kept = {k: v.replace(path, "/PATH") for k, v in record.items() if k in ("event", "status", "user", "path", "reason", "to")}
                records[path].append(kept)
    checks.that(records["/plan"] and records["/plan"] == records["/none"], "a difference in the records", records)
    holder.send(*[chunk(CONTENT, i) for i in range(2, CHUNKS)], commit(CONTENT))
    done = holder.until("DONE", "ERROR")[-1]
    checks.that(done is not None and done.status == "OK", "alice's upload, in the end", done)
    holder.close()


def leave(site, path="/part", chunks=4):
    """A part with so many of its chunks."""
    peer = site.peer()
    for _ in range(1000):
        if peer.request("REMOVE", flags=2, path=path).status != "BUSY":
            break
    peer.send(encode("PUT", id=7, flags=5, path=path), offer(CONTENT), *[chunk(CONTENT, i) for i in range(chunks)], encode("ABORT", id=7))
    peer.until("DONE")
    peer.close()


def finish(site, flags):
    """As an honest client would: what the server has is not sent. (status, chunks that were kept)"""
    peer, kept = site.peer(), 0
    peer.send(encode("PUT", id=7, flags=flags, path="/part"), offer(CONTENT))
    ready = peer.until("READY", "DONE", "ERROR")[-1]
    if ready is None or ready.name != "READY":
        return ready and ready.status, 0
    hashes = b""
    while len(hashes) < ready.have * 32:
        have = peer.until("HAVE", "DONE")[-1]
        if have is None or have.name == "DONE":
            return have and have.status, 0
        hashes += have.hashes
    for i in range(CHUNKS):
        mine = sha(CONTENT[i * CHUNK:(i + 1) * CHUNK])
        if hashes[32 * i:32 * i + 32] == mine:
            kept += 1
            peer.send(encode("KEEP", id=7, first=i, count=1))
        else:
            peer.send(chunk(CONTENT, i))
    peer.send(commit(CONTENT))
    done = peer.until("DONE", "ERROR")[-1]
    peer.close()
    return done and done.status, kept


def rewrite(path, change):
    with open(path, "rb") as f:
        data = f.read()
    st = os.stat(path)
    with open(path, "r+b") as f:
        data = change(data)
        f.write(data)
        f.truncate(len(data))
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def turned(at):
    return lambda d: d[:at] + bytes([d[at] ^ 0x41]) + d[at + 1:] if at < len(d) else d


def renew(path):
    shutil.copy2(path, path + ".new")
    st = os.stat(path)
    os.chown(path + ".new", st.st_uid, st.st_gid)
    os.rename(path + ".new", path)


def ways(data, journal, bobs):
    """(what, how it is done)"""
    size = os.stat(journal).st_size
    for n in sorted({0, 1, 3, 4, 8, 9, 13, 14, 40, 63, 100, 150, 511, 512, 4095, 4096, 8191, 8192, 8193, 8192 + 31, 8192 + 32, 8192 + 100, size - 1}):
        if n < size:
            yield "a journal of %d bytes" % n, lambda n=n: os.truncate(journal, n)
    for at in [*range(0, 120, 5), 160, 400, 4096, 8191, *range(8192, size, 23)]:
        yield "a journal turned at %d" % at, lambda at=at: rewrite(journal, turned(at))
    for version in (0, 2, 255):
        yield "a journal of version %d" % version, lambda v=version: rewrite(journal, lambda d: d[:8] + bytes([v]) + d[9:])
    yield "a journal of 1 GiB", lambda: os.truncate(journal, 1 << 30)
    yield "no journal", lambda: os.unlink(journal)
    yield "another inode as journal", lambda: renew(journal)
    yield "the journal of another user", lambda: rewrite(journal, lambda d: bobs)
    for at in (0, CHUNK + 7, 4 * CHUNK - 1):
        yield "data turned at %d" % at, lambda at=at: rewrite(data, turned(at))
    for n in (0, 1, CHUNK, 3 * CHUNK + 5):
        yield "data of %d bytes" % n, lambda n=n: os.truncate(data, n)
    yield "longer data", lambda: os.truncate(data, 9 * CHUNK)
    yield "no data", lambda: os.unlink(data)
    yield "another inode as data", lambda: renew(data)
    yield "chunks in another order", lambda: rewrite(data, lambda d: d[CHUNK:2 * CHUNK] + d[:CHUNK] + d[2 * CHUNK:])


def mangled(alice, bob, checks, folder, bobs_folder):
    """J1, J2: however the files of a part were changed, what is committed in the end is right; or it is refused."""
    parts = "/.consign/parts/" + sha(b"/part").hex()[:32]
    leave(bob)
    with open(bobs_folder + parts + ".journal", "rb") as f:
        bobs = f.read()
    leave(alice)
    journal, data = folder + parts + ".journal", folder + parts + ".data"
    for n, (what, change) in enumerate(list(ways(data, journal, bobs))):
        leave(alice)
        change()
        for flags in (5, 7):
            status, kept = finish(alice, flags)
            if status == "OK":
                break
        right = status in ("OK", "BUSY", "TYPE")
        if status == "OK":
            with open(folder + "/part", "rb") as f:
                right = f.read() == CONTENT
            os.unlink(folder + "/part")
        else:
            for f in (data, journal):
                if os.path.exists(f):
                    os.unlink(f)
        if what.startswith("data turned"):
            right = right and kept == 3
        checks.that(right, what, status, kept)


def one_owner(alice, checks):
    """J4: who comes while another connection is at it is told so; the first one is not disturbed."""
    first, second = alice.peer(), alice.peer()
    first.send(encode("PUT", id=7, flags=5, path="/one"), offer(CONTENT), chunk(CONTENT, 0))
    checks.that(first.until("READY")[-1] is not None, "the first")
    second.send(encode("PUT", id=7, flags=5, path="/one"), offer(CONTENT), chunk(CONTENT, 0))
    done = second.until("DONE", "READY")[-1]
    checks.that(done is not None and done.name == "DONE" and done.status == "BUSY", "the second", done)
    first.send(*[chunk(CONTENT, i) for i in range(1, CHUNKS)], commit(CONTENT))
    done = first.until("DONE", "ERROR")[-1]
    checks.that(done is not None and done.status == "OK", "the first, in the end", done)
    second.send(encode("ABORT", id=7), *put("/one", CONTENT))
    done = second.until("DONE", "ERROR")[-1]
    checks.that(done is not None and done.status == "OK", "the second, later", done)


def run(alice, args):
    bob, folder, bobs_folder, audit = Site(alice.port, args[0], args[1]), args[2], args[3], args[4]
    checks = Checks()
    waiting = threading.Thread(target=one_owner, args=(alice, checks))
    waiting.start()
    strangers(alice, bob, checks, audit)
    mangled(alice, bob, checks, folder, bobs_folder)
    waiting.join()
    return checks.done(80)


main(run)
