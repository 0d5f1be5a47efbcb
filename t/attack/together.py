#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Many at once at one name: what stands there in the end is what one of them sent, and who reads meanwhile gets the old or the new.

    together.py PORT CERTIFICATE KEY FOLDER-OF-USER CLIENTS"""
import hashlib
import threading

from peer import CHUNK, Checks, encode, main, put, root_of

ROUNDS = 60


def content(n, size):
    return b"%08d" % n + hashlib.shake_128(b"%d" % n).digest(size - 8)


def small(path, data, flags):
    return encode("SMALL", id=7, flags=flags, mode=0o644, path=path, root=root_of(data), bytes=data)


def at_once(site, n, frames_of):
    """The last answer to each of n clients that say theirs at the same moment."""
    gate, out = threading.Barrier(n), [None] * n

    def one(i):
        peer = site.peer()
        gate.wait()
        out[i] = peer.ask(*frames_of(i))
        peer.close()
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return out


def there(path):
    with open(path, "rb") as f:
        return f.read()


def writers(site, checks, folder, n):
    """C1"""
    for size, kind in ((5000, "small"), (2 * CHUNK + 100, "transfer")):
        for flags in (1, 0):
            name = "/%s%d" % (kind, flags)
            sent = [content(i, size) for i in range(n)]
            said = at_once(site, n, lambda i: [small(name, sent[i], flags)] if kind == "small" else put(name, sent[i], flags=flags))
            good = [i for i, f in enumerate(said) if f is not None and f.status == "OK"]
            final = there(folder + name)
            checks.that(final in [sent[i] for i in good], name, "is what none of those sent who were told so", good)
            checks.that(all(f is not None and f.name == "DONE" and f.status in ("OK", "EXISTS", "BUSY") for f in said), name, said)
            checks.that(len(good) >= 1 if flags else len(good) == 1, name, "acknowledged", len(good))
            peer = site.peer()
            peer.send(encode("STAT", id=7, flags=1, path=name))
            info = peer.until("DONE")[0]
            checks.that(info.name == "INFO" and info.root == root_of(final), name, "has another root than its content")
            peer.close()


def fetched(peer, path):
    """Status and content."""
    peer.send(encode("FETCH", id=7, path=path))
    seen = peer.until("DONE", "ERROR")
    if seen[-1] is None:
        return None, None
    if seen[0].name != "SMALL":
        return seen[-1].status, None
    right = root_of(seen[0].bytes) == seen[0].root
    return seen[-1].status if right else "another root", seen[0].bytes


def got(peer, path):
    peer.send(encode("GET", id=7, path=path))
    said = peer.until("OFFER", "DONE", "ERROR")[-1]
    if said is None or said.name != "OFFER":
        return said and said.status, None
    peer.send(encode("READY", id=7))
    seen = peer.until("ERROR", "COMMIT", "ABORT")
    if seen[-1] is None or seen[-1].name == "ERROR":
        return "ended", None
    if seen[-1].name == "ABORT":
        peer.send(encode("DONE", id=7, status=seen[-1].fields["status"]))
        return seen[-1].status, None
    data = b"".join(f.bytes for f in seen if f.name == "DATA")
    peer.send(encode("DONE", id=7))
    return "OK" if root_of(data) == seen[-1].root else "another root", data


def readers(site, checks, folder):
    """C2"""
    sent = [content(i, 3000 + i) for i in range(5)]
    stop, seen, lock = threading.Event(), {}, threading.Lock()
    with open(folder + "/plain", "wb") as f:
        f.write(sent[0])

    def read(which):
        peer, local = site.peer(), {}
        while not stop.is_set():
            if which == 0:
                status, data = fetched(peer, "/c")
            elif which == 1:
                status, data = got(peer, "/c")
            else:
                peer.send(encode("LIST", id=7, path="/"))
                listed = peer.until("DONE", "ERROR")
                status, data = listed[-1] and listed[-1].status, None
                names = [f.fields["name"] for f in listed if f is not None and f.name == "ENTRY"]
                if len(names) != len(set(names)) or b"plain" not in names:
                    status = "names %s" % names
            local[(which, status, data in sent if data is not None else None)] = True
        with lock:
            seen.update(local)
        peer.close()
    threads = [threading.Thread(target=read, args=(i,)) for i in (0, 1, 2)]
    for t in threads:
        t.start()
    peer = site.peer()
    for n in range(ROUNDS):
        for frame in (small("/c", sent[n % 5], 1), small("/c2", sent[(n + 1) % 5], 1), encode("RENAME", id=7, flags=1, **{"from": "/c2", "to": "/c"}),
                      encode("REMOVE", id=7, path="/c") if n % 3 == 0 else encode("PING", id=7)):
            checks.that(peer.ask(frame).status == "OK", "a change", n)
    stop.set()
    for t in threads:
        t.join()
    wrong = [s for s in seen if s[2] is False or s[1] not in ("OK", "NOENT", "CHANGED")]
    checks.that(not wrong, "what was read", wrong)
    checks.that((0, "OK", True) in seen and (1, "OK", True) in seen and (2, "OK", None) in seen, "something was read", seen)


def run(site, args):
    checks = Checks()
    writers(site, checks, args[0], int(args[1]))
    readers(site, checks, args[0])
    return checks.done(ROUNDS)


main(run)
