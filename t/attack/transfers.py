#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Uploads by somebody who keeps to no rule: chunks in wrong places, commits that are none, compression that explodes,
parameters that can not be.

    transfers.py PORT CERTIFICATE KEY PID-OF-SERVER FOLDER-OF-USER"""
import glob
import hashlib
import os
import struct
import zlib

from peer import CHUNK, Checks, chunk, commit, encode, main, offer, put, root_of, sha
from watch import children_kib, memory_tells

CONTENT = hashlib.shake_128(b"transfers").digest(2 * CHUNK + 100)
OTHER = hashlib.shake_128(b"other").digest(2 * CHUNK + 100)
HUGE = (3, 2**32 - 1, 2**32, 2**50, 2**50 + 1, 2**62, 2**63, 2**64 - 1)
ID = 7


class Uploads:
    def __init__(self, site, checks, folder):
        self.site, self.checks, self.folder = site, checks, folder
        self.peer = site.peer()

    def data_sizes(self):
        return [os.stat(f).st_size for f in glob.glob(glob.escape(self.folder) + "/.consign/parts/*.data")]

    def begin(self, content=CONTENT, **more):
        self.peer.send(encode("PUT", id=ID, flags=5, path="/up"), offer(content, ID, **more))
        return self.peer.until("READY", "DONE", "ERROR")[-1]

    def end(self, what, abort=True):
        """The connection is used on; what is left is dropped."""
        if abort:
            self.peer.send(encode("ABORT", id=ID))
        if not self.checks.that(self.peer.alive(), "the connection after", *what):
            self.peer = self.site.peer()
        self.peer.request("REMOVE", flags=2, path="/up")

    def refused(self, frames, *what, status=("PROTO",), content=CONTENT, abort=True):
        """The upload is ended with such a status, and nothing of it is there but a part that is not longer than was said."""
        if os.path.exists(self.folder + "/up"):
            os.unlink(self.folder + "/up")
        self.begin(content)
        self.peer.send(*frames)
        said = self.peer.until("DONE", "ERROR")[-1]
        right = said is not None and said.name == "DONE" and said.status in status
        right = right and not os.path.exists(self.folder + "/up") and all(n <= len(content) for n in self.data_sizes())
        self.checks.that(right, *what, said, self.data_sizes())
        self.end(what, abort)


def data(i, content=CONTENT, **more):
    return encode("DATA", **{"id": ID, "index": i, "bytes": content[i * CHUNK:(i + 1) * CHUNK], **more})


def places(u):
    """R4"""
    first, last = chunk(CONTENT, 0, ID), [chunk(CONTENT, 0, ID), chunk(CONTENT, 1, ID)]
    for index in (1, *HUGE):
        u.refused([data(0, index=index)], "DATA for chunk", index)
        u.refused([data(0), encode("CHUNK", id=ID, index=index, hash=sha(CONTENT[:CHUNK]))], "CHUNK", index)
    for offset in (1, CHUNK, 2**31, 2**32 - CHUNK, 2**32 - 1):
        u.refused([data(0, offset=offset)], "DATA at", offset)
    u.refused([data(0, bytes=CONTENT[:CHUNK + 1])], "a chunk that is too long")
    u.refused([data(0, bytes=CONTENT)], "all in one")
    u.refused([data(0, bytes=CONTENT[:CHUNK - 1])], "a piece that is no multiple of 16 KiB")
    u.refused([data(0, bytes=b"")], "an empty piece")
    u.refused([data(0), data(0)], "a piece twice")
    u.refused([first, data(0, OTHER)], "a chunk once more, with other bytes")
    u.refused([first, data(1), encode("CHUNK", id=ID, index=0, hash=sha(CONTENT[:CHUNK]))], "the hash of the chunk before")
    u.refused([*last, data(2, bytes=CONTENT[2 * CHUNK:] + b"x")], "a last chunk that is too long")
    u.refused([*last, data(2, bytes=CONTENT[2 * CHUNK:-1]), encode("CHUNK", id=ID, index=2, hash=sha(CONTENT[2 * CHUNK:-1])),
               commit(CONTENT, ID)], "a last chunk that is too short", abort=False)
    u.refused([*last, chunk(CONTENT, 2, ID), data(3, bytes=b"x")], "a chunk behind the last")
    u.refused([encode("CHUNK", id=ID, hash=sha(b""))], "a hash without bytes")
    u.refused([data(0), encode("CHUNK", id=ID, hash=sha(b"else"))], "a hash of something else", status=("CORRUPT",))
    u.refused([data(0, content=OTHER), encode("CHUNK", id=ID, hash=sha(CONTENT[:CHUNK]))], "other bytes than the hash says", status=("CORRUPT",))
    u.refused([data(0, kind=2)], "an unknown kind")
    u.refused([data(0, id=8)], "another upload's piece")
    u.refused([data(0, bytes=b"x")], "bytes of a content that has none", content=b"")
    for frame in ("KEEP", "SKIP", "HOLE"):
        u.refused([encode(frame, id=ID, first=1, count=2**64 - 1)], frame, "that wraps around")
    u.refused([encode("COPY", id=ID, index=0, **{"from": 2**64 - 1}, count=2)], "COPY that wraps around")


def commits(u):
    """R5"""
    peer, three = u.peer, [chunk(CONTENT, i, ID) for i in range(3)]
    u.refused([commit(CONTENT, ID)], "a commit of nothing", abort=False)
    u.refused([*three[:2], commit(CONTENT, ID)], "a commit without the last chunk", abort=False)
    u.refused([*three[:2], data(2), commit(CONTENT, ID)], "a commit inside a chunk", abort=False)
    u.refused([*three, encode("COMMIT", id=ID, length=len(CONTENT), root=root_of(OTHER))], "the root of something else",
              status=("CORRUPT",), abort=False)
    u.refused([*three, encode("COMMIT", id=ID, length=len(CONTENT) - 1, root=root_of(CONTENT))], "another length", abort=False)
    u.refused([*three, encode("COMMIT", id=8, length=len(CONTENT), root=root_of(CONTENT))], "another upload's commit")
    for what, frames in (("before an upload", [commit(CONTENT, ID)]), ("after an upload that was ended", None)):
        peer = u.site.peer()
        if frames is None:
            peer.send(encode("PUT", id=ID, flags=5, path="/up"), offer(CONTENT, ID), *three, encode("ABORT", id=ID))
            u.checks.that(peer.until("DONE")[-1] is not None, "ABORT is answered")
            frames = [commit(CONTENT, ID)]
        said = peer.ask(*frames)
        u.checks.that(said is not None and said.name == "ERROR" and said.status == "PROTO" and not os.path.exists(u.folder + "/up"),
                      "a commit", what, said)
        peer.close()
    peer = u.site.peer()
    peer.send(*put("/up", CONTENT, ID))
    said = [peer.until("DONE", "ERROR")[-1], peer.ask(commit(CONTENT, ID))]
    u.checks.that(said[0].status == "OK" and said[1].name == "ERROR" and said[1].status == "PROTO", "a commit twice", said)
    with open(u.folder + "/up", "rb") as f:
        u.checks.that(f.read() == CONTENT, "what is there is what was sent")
    peer.close()
    u.peer = u.site.peer()
    u.peer.send(*put("/empty", b"", ID))
    u.checks.that(u.peer.until("DONE")[-1].status == "OK" and os.stat(u.folder + "/empty").st_size == 0, "an empty content")


def packed(raw, length=None):
    return struct.pack(">I", CHUNK if length is None else length) + raw


def compression(u, pid):
    """R6"""
    zeros, dictionary = bytes(CHUNK), zlib.compressobj(9, zlib.DEFLATED, 15, 9, 0, CONTENT[:100])
    good = zlib.compress(zeros, 9)
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    gzip = zlib.compressobj(9, zlib.DEFLATED, 31)
    explode = zlib.compress(bytes(100 << 20), 9)
    content = zeros + CONTENT[:50]
    first = [data(0, bytes=packed(good), kind=1), encode("CHUNK", id=ID, hash=sha(zeros)), chunk(content, 1, ID), commit(content, ID)]
    u.begin(content)
    u.peer.send(*first)
    u.checks.that(u.peer.until("DONE")[-1].status == "OK", "a compressed chunk")
    before = max(children_kib(pid, "VmHWM").values())
    either = ("PROTO", "CORRUPT")
    for what, body in (
            ("100 MiB of zeros", packed(explode)), ("100 MiB of zeros, that says so", packed(explode, 100 << 20)),
            ("that says so much that it wraps", packed(explode, 2**32 - 1)), ("of no length", packed(good, 0)),
            ("one byte more than a chunk", packed(zlib.compress(bytes(CHUNK + 1)), CHUNK + 1)),
            ("that gives less than it says", packed(zlib.compress(bytes(CHUNK - 1)))),
            ("that gives more than it says", packed(zlib.compress(bytes(CHUNK + 1)))),
            ("with bytes behind it", packed(good + b"x")), ("twice", packed(good + good)), ("that is cut", packed(good[:-1])),
            ("that is cut early", packed(good[:3])), ("of nothing", packed(b"")), ("that is shorter than its length", b"\0\0\1"),
            ("that did not shrink", packed(zlib.compress(CONTENT[:CHUNK], 0))), ("with another checksum", packed(good[:-1] + b"\xff")),
            ("with a preset dictionary", packed(dictionary.compress(zeros) + dictionary.flush())),
            ("without a head", packed(raw.compress(zeros) + raw.flush())), ("of gzip", packed(gzip.compress(zeros) + gzip.flush())),
            ("of nonsense", packed(CONTENT[:1000])), ("that never ends", packed(good[:2] + b"\0\0\0\xff\xff" * 2000))):
        u.refused([data(0, bytes=body, kind=1)], "a stream", what, status=either, content=content)
    after = max(children_kib(pid, "VmHWM").values())
    u.checks.that(after - before < 8192 or not memory_tells(pid), "memory grew by KiB", after - before)
    peer = u.site.peer(hello=False)
    said = peer.ask(data(0, bytes=packed(good), kind=1))
    u.checks.that(said is not None and said.name == "ERROR" and said.status == "PROTO", "compressed before HELLO", said)
    peer.close()


def parameters(u):
    """R8: what a peer asks for that nobody would."""
    for log2 in (0, 1, 13, 29, 31, 32, 63, 64, 255):
        said = u.begin(chunk_log2=log2)
        u.checks.that(said is not None and said.status == "PROTO", "chunks of 2 to the", log2, said)
        u.end(("chunks of 2 to the", log2))
    for name, bits in (("STAT", 1), ("LIST", 0), ("MKDIR", 1), ("REMOVE", 3), ("RENAME", 1), ("PUT", 31), ("GET", 15), ("SMALL", 9), ("FETCH", 0),
                       ("WALK", 7), ("STATS", 6), ("ATTRIBUTES", 1), ("SYMLINK", 9), ("META", 7), ("META_GET", 7), ("JOIN", 0)):
        for flags in (next(1 << i for i in range(32) if not bits >> i & 1), 2**31, 2**32 - 1):
            peer = u.site.peer()
            said = peer.request(name, flags=flags)
            u.checks.that(said is not None and said.name == "ERROR" and said.status == "PROTO", name, "with flags", flags, said)
            peer.close()
    for name, flags in (("GET", 6), ("REMOVE", 3)):
        said = u.site.peer().request(name, flags=flags)
        u.checks.that(said is not None and said.status == "PROTO", name, "with flags", flags, said)
    for version, features in ((0, 0), (2, 0), (65535, 0), (1, 1), (1, 2**63), (1, 2**64 - 1)):
        peer = u.site.peer(hello=False)
        said = peer.ask(encode("HELLO", version=version, features=features))
        u.checks.that(said is not None and said.name == "ERROR" and said.status == "PROTO", "version", version, "features", features, said)
        peer.close()


def run(site, args):
    checks = Checks()
    u = Uploads(site, checks, args[1])
    places(u)
    commits(u)
    compression(u, int(args[0]))
    parameters(u)
    return checks.done(150)


main(run)
