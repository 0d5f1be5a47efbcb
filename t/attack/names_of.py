# SPDX-License-Identifier: ISC
"""Every request that takes a path."""
from peer import encode, sha

TEXT = b"a text"


def requests(path, other=b"/file", to=b"/y"):
    """(what, frame): with this path; other is what is renamed to it, and to where it is renamed to. What begins an upload is
    followed by what ends it. The id is 7."""
    for name in ("STAT", "LIST", "MKDIR", "PENDING", "FETCH", "WALK", "ATTRIBUTES"):
        yield name, encode(name, id=7, path=path)
    yield "META_GET", encode("META_GET", id=7, flags=1, path=path)
    yield "META", encode("META", id=7, flags=1, path=path, set=b"\x06user.a\0\1b")
    yield "MKDIR with parents", encode("MKDIR", id=7, flags=1, path=path)
    yield "GET", encode("GET", id=7, path=path)
    yield "STATS", encode("STATS", id=7, path=path, names=b"\0\4file")
    yield "SYMLINK", encode("SYMLINK", id=7, path=path, target="x")
    yield "SMALL", encode("SMALL", id=7, flags=9, mode=0o644, path=path, root=sha(TEXT), bytes=TEXT)
    for name in ("PUT", "JOIN"):
        yield name, encode(name, id=7, path=path) + encode("OFFER", id=7, length=9, chunk_log2=14) + encode("ABORT", id=7)
    yield "RENAME from", encode("RENAME", id=7, **{"from": path, "to": to})
    yield "RENAME to", encode("RENAME", id=7, flags=1, **{"from": other, "to": path})
    for flags in (2, 1, 0):
        yield "REMOVE %d" % flags, encode("REMOVE", id=7, flags=flags, path=path)
