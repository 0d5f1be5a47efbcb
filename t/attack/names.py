#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Names that are none, in every request; and odd ones, which are names like others.

    names.py PORT CERTIFICATE KEY FOLDER-OF-USER"""
import os
import struct

from names_of import TEXT, requests
from peer import Checks, encode, main, sha

# Legal or not as PROTOCOL.md says it, section 4.
BAD = [b"", b"a", b"a/b", b"..", b"/..", b"/../x", b"/a/../b", b"/a/..", b"/a/../../b", b"/.", b"/./a", b"/a/.", b"/a/./b", b"//", b"//a", b"/a//b",
       b"/a/", b"/\0", b"/a\0b", b"/a\0/../../b", b"/a\nb", b"/\x1b]52;c;eA==\x07", b"/a\rb", b"/a\tb", b"/\x7f", b"/\x01", b"/.consign",
       b"/.consign/", b"/.consign/parts", b"/a/.consign", b"/a/.consign/trees/1", b"/" + b"x" * 256, b"/a/" + b"x" * 256 + b"/b", b"/" + b"a" * 4095]
# What some program would take for something else.
ODD = [b"\\", b"..\\x", b"%2e%2e", b"%2e%2e%2f", b"\xc0\xae\xc0\xae", b"\xc0\xafx", b"\xe0\x80\xaf", b"...", b".. ", b" ..", b"..\xcc\x80", b". ", b"-rf",
       b"--", b"~", b"~root", b"$HOME", b"`id`", b"$(id)", b"a;b", b"|x", b"*", b"?", b"[a]", b"#x", b"\"", b"'", b"a b", b" ", b"x" * 255, b"\xff\xfe",
       b"\xed\xa0\x80", b"x\xe2\x80\xaey", b"\xc2\x9b31m", b"file", b"File", b"FILE", b"\xc3\xa9", b"e\xcc\x81", b"\xef\xac\x81", b"fi", b"\xe2\x84\xaa",
       b"x.part", b"x.journal", b"x.data", b".consign.", b".Consign", b".CONSIGN", b".consign ", b".consign\xcc\x80", b"parts", b"trees", b"CON", b"nul.",
       b"a:b", b"%s%n", b"\xe2\x80\xa8"]


def refused(site, checks):
    for path in BAD:
        said, peer = {}, site.peer()
        for what, frame in requests(path):
            peer.send(frame)
            done = peer.until("DONE", "ERROR")[-1]
            said[what] = repr(done)
            if not checks.that(done is not None and done.status == "NAME", what, path[:40], done):
                peer = site.peer()
        checks.that(len(set(said.values())) == 1, "not one refusal for", path[:40], said)
        checks.that(peer.alive(), "after", path[:40])
        peer.close()
    # One byte more than a string may have is no message.
    for what, frame in requests(b"/" + b"/".join([b"x" * 255] * 16) + b"/"):
        done = site.peer().ask(frame)
        checks.that(done is not None and done.name == "ERROR" and done.status == "PROTO", what, "of more than 4096 bytes", done)


def asked_in_stats(site, checks):
    names = [p[1:] for p in BAD if p.startswith(b"/") and len(p) < 4000] + [b"../../canary", b"/etc/passwd"]
    peer = site.peer()
    for name in names:
        peer.send(encode("STATS", id=7, path="/", names=struct.pack(">H", len(name)) + name))
        seen = peer.until("DONE", "ERROR")
        kinds = [f.items[2] for f in seen if f is not None and f.name == "ITEMS" and f.items]
        checks.that(kinds in ([], [6]) and seen[-1] is not None and seen[-1].status in ("OK", "NAME", "PROTO"), "STATS", name[:40], kinds, seen[-1])
        if seen[-1] is None or seen[-1].name == "ERROR":
            peer = site.peer()


def items(frame):
    """(type, name) of the items of a page."""
    out, body = [], frame.items
    while body:
        (n,) = struct.unpack(">H", body[:2])
        item, body = body[2:2 + n], body[2 + n:]
        at = struct.calcsize(">BIQQIB32s")
        (length,) = struct.unpack_from(">H", item, at)
        out.append((item[0], item[at + 2:at + 2 + length]))
    return out


def kept(site, checks, folder):
    """Odd names are stored byte for byte, side by side, and never elsewhere."""
    peer, folder = site.peer(), os.fsencode(folder) + b"/odd"
    checks.that(peer.request("MKDIR", mode=0o755, path="/odd").status == "OK", "a folder")
    for name in ODD:
        text = b"content of " + name
        done = peer.request("SMALL", mode=0o644, path=b"/odd/" + name, root=sha(text), bytes=text)
        checks.that(done.status == "OK", "SMALL", name, done)
        with open(folder + b"/" + name, "rb") as f:
            checks.that(f.read() == text, "stored", name)
        for request in ("STAT", "FETCH", "GET"):
            peer.send(encode(request, id=7, path=b"/odd/" + name))
            if request == "GET":
                checks.that(peer.until("OFFER", "DONE")[-1].name == "OFFER", request, name)
                peer.send(encode("DONE", id=7, status=9))
                peer.until("ABORT")
            else:
                checks.that(peer.until("DONE")[-1].status == "OK", request, name)
    checks.that(sorted(os.listdir(folder)) == sorted(ODD), "what is there", set(os.listdir(folder)) ^ set(ODD))
    peer.send(encode("LIST", id=7, path="/odd"))
    listed = sorted(f.fields["name"] for f in peer.until("DONE") if f.name == "ENTRY")
    checks.that(listed == sorted(ODD), "what is listed", set(listed) ^ set(ODD))
    peer.send(encode("WALK", id=7, path="/odd"))
    walked = sorted(n for f in peer.until("DONE") if f.name == "ITEMS" for t, n in items(f))
    checks.that(walked == sorted(ODD), "what is walked", set(walked) ^ set(ODD))
    # What somebody else has put there under a name that is none: told as a fault, or not at all, and never with its name taken apart.
    for name in (b"new\nline", b"\x1b[2J", b"\x7f"):
        with open(folder + b"/" + name, "wb") as f:
            f.write(b"x")
    peer.send(encode("LIST", id=7, path="/odd"))
    listed = sorted(f.fields["name"] for f in peer.until("DONE") if f.name == "ENTRY")
    checks.that(listed == sorted(ODD), "what is listed beside illegal names", set(listed) ^ set(ODD))
    peer.send(encode("WALK", id=7, path="/odd"))
    faults = [t for f in peer.until("DONE") if f.name == "ITEMS" for t, n in items(f) if n not in ODD]
    checks.that(faults == [6, 6, 6], "illegal names in a walk", faults)


def service(site, checks, folder):
    """A file of the user's with the name of one of consign's own stands beside it, not in its place."""
    peer = site.peer()
    own = folder + "/.consign"
    peer.send(encode("PUT", id=7, flags=1, path="/part"), encode("OFFER", id=7, length=99, chunk_log2=14, allocated=99))
    checks.that(peer.until("READY")[-1] is not None, "an upload")
    before = sorted(os.listdir(own + "/parts"))
    other = site.peer()
    for name in before:
        done = other.request("SMALL", mode=0o644, path="/" + name, root=sha(TEXT), bytes=TEXT)
        checks.that(done.status == "OK" and os.path.isfile(folder + "/" + name), "a file called", name, done)
        for request in ("STAT", "FETCH", "GET", "REMOVE"):
            done = other.request(request, path="/.consign/parts/" + name)
            checks.that(done.status == "NAME", request, name, done)
    checks.that(before == sorted(os.listdir(own + "/parts")), "the parts are as they were")
    for f in other.until("DONE") if other.send(encode("LIST", id=7, path="/")) else []:
        checks.that(f.name != "ENTRY" or f.fields["name"] != b".consign", "the service folder is listed")
    peer.send(encode("ABORT", id=7))


def run(site, args):
    checks = Checks()
    with open(args[0] + "/file", "w", encoding="ascii") as f:
        f.write("there")
    refused(site, checks)
    asked_in_stats(site, checks)
    kept(site, checks, args[0])
    service(site, checks, args[0])
    return checks.done(900)


main(run)
