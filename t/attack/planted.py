#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""What somebody with a login on the server's host lays into a user's folder: links, pipes, sockets, devices, names of other
files; as a file, on the way to one, and as consign's own. Every request refuses, or does what it has to beside it.

    planted.py PORT CERTIFICATE KEY FOLDER-OF-USER CANARY [ACCOUNT]

CANARY is a folder of somebody else's with the file "secret" in it."""
import glob
import hashlib
import os
import pwd
import shutil
import socket
import stat

from names_of import requests
from peer import CHUNK, Checks, chunk, encode, main, offer, put

CONTENT = hashlib.shake_128(b"planted").digest(3 * CHUNK)
OK = "OK"
SHOWN = ("STAT", "PENDING")    # what stands there is told, and not gone through


def inventory(folder):
    """What is there, and when it was last touched; a read does not count, nor a name more or less."""
    out = []
    for where, folders, files in os.walk(folder):
        for name in sorted(folders + files):
            path = os.path.join(where, name)
            st = os.lstat(path)
            text = b""
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    text = f.read()
            out.append((path, st.st_mode, st.st_size, st.st_mtime_ns, 0 if stat.S_ISREG(st.st_mode) else st.st_ctime_ns, text))
    st = os.stat(folder)
    return out + [(st.st_mtime_ns, st.st_ctime_ns)]


class Garden:
    def __init__(self, site, checks, args):
        self.site, self.checks, self.folder, self.canary = site, checks, args[0], args[1]
        self.account = pwd.getpwnam(args[2]) if len(args) > 2 and args[2] else None
        self.peer = site.peer()

    def own(self, path):
        if self.account:
            os.lchown(path, self.account.pw_uid, self.account.pw_gid)

    def things(self):
        """(what, how it is made at a path)"""
        secret = self.canary + "/secret"
        up = os.path.relpath(self.canary, self.folder)

        def bound(path):
            s = socket.socket(socket.AF_UNIX)
            here = os.getcwd()
            os.chdir(os.path.dirname(path))
            s.bind(os.path.basename(path))
            os.chdir(here)
        for target in (secret, self.canary, up, up + "/secret", "nowhere", "/proc/self/root" + secret, "/proc/self/root", "/proc/self/fd/0",
                       "/dev/zero", "/", "..", ".", "planted", "../" * 40 + secret[1:]):
            yield "a link to " + target, lambda p, t=target: os.symlink(t, p)
        yield "a pipe", os.mkfifo
        yield "a socket", bound
        if os.geteuid() == 0:
            yield "a device", lambda p: os.mknod(p, stat.S_IFCHR | 0o666, os.makedev(1, 5))
            yield "another name of a file", lambda p: os.link(secret, p)

    def clear(self, path):
        if os.path.islink(path) or os.path.exists(path):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)

    def ask(self, frame):
        """DONE; a GET or PUT that is taken is ended."""
        self.peer.send(frame)
        try:
            seen = self.peer.until("DONE", "ERROR", "OFFER")
            if seen[-1] is not None and seen[-1].name == "OFFER":
                self.peer.send(encode("DONE", id=7, status=9))
                self.peer.until("ABORT")
        except TimeoutError:
            seen = [None]
        if seen[-1] is None:
            self.peer = self.site.peer()
        return seen

    def leaks(self, seen):
        return any(f is not None and b"a stranger's" in bytes(f.fields.get("bytes", b"")) for f in seen)

    def as_file(self):
        """A request on the thing itself. Those that work on names may remove, or replace, the name alone."""
        path = self.folder + "/planted"
        for what, make in self.things():
            for request, frame in requests(b"/planted", b"/file", b"/moved"):
                self.clear(path)
                self.clear(self.folder + "/moved")
                self.file()
                make(path)
                if "another name" not in what:
                    self.own(path)
                before = inventory(self.canary)
                seen = self.ask(frame)
                done, mode = seen[-1], os.lstat(path).st_mode if os.path.lexists(path) else 0
                right = done is not None and not self.leaks(seen) and inventory(self.canary) == before
                if request in self.may(what):
                    right = right and done.status in (OK, None)
                elif request in SHOWN:
                    right = right and mode != 0
                elif not request.startswith("REMOVE"):
                    right = right and (done.status not in (OK, None) or self.nothing(seen))
                self.checks.that(right, request, "on", what, seen[-1])
        self.clear(path)
        self.clear(self.folder + "/moved")

    def may(self, what):
        """The name of a file may go to another place, or to another file; and its owner here may be the very user."""
        if "another name" not in what:
            return ()
        return ("RENAME from", "RENAME to", "SMALL") + (() if self.account else ("FETCH", "GET"))

    def nothing(self, seen):
        """Nothing but that there is nothing, or that it can't be told."""
        return all(f.name == "DONE" or (f.name == "ITEMS" and f.items[2:3] in (b"\0", b"\6")) for f in seen) and len(seen) == 2

    def file(self):
        path = self.folder + "/file"
        if not os.path.exists(path):
            with open(path, "w", encoding="ascii") as f:
                f.write("there")
            self.own(path)

    def on_the_way(self):
        path = self.folder + "/planted"
        for what, make in self.things():
            self.clear(path)
            make(path)
            before = inventory(self.canary)
            for name in (b"/planted/secret", b"/planted/new", b"/planted/a/new"):
                for request, frame in requests(name, b"/file", name + b"2"):
                    seen = self.ask(frame)
                    done = seen[-1]
                    empty = request == "PENDING" or (request == "STATS" and self.nothing(seen))
                    self.checks.that(done is not None and (done.status not in (OK, None) or empty) and not self.leaks(seen),
                                     request, name, "with", what, "on the way", done)
            self.checks.that(inventory(self.canary) == before, "untouched by", what)
        self.clear(path)

    def part(self):
        """Leaves a part with two of three chunks of /part; returns the names of its data and journal."""
        for _ in range(100):
            if self.peer.request("REMOVE", flags=2, path="/part").status != "BUSY":
                break
        self.peer.send(encode("PUT", id=7, flags=5, path="/part"), offer(CONTENT, 7), chunk(CONTENT, 0, 7), chunk(CONTENT, 1, 7),
                       encode("ABORT", id=7))
        self.peer.until("DONE")
        parts = self.folder + "/.consign/parts"
        return [f for end in ("data", "journal") for f in glob.glob(glob.escape(parts) + "/*." + end)]

    def as_part(self):
        """In the place of a part's files: the upload is refused, or begins anew; what is committed is right."""
        for which in (0, 1):
            for what, make in self.things():
                files = self.part()
                self.checks.that(len(files) == 2, "a part", files)
                os.unlink(files[which])
                make(files[which])
                before = inventory(self.canary)
                self.peer.send(*put("/part", CONTENT, 7))
                done = self.peer.until("DONE", "ERROR")[-1]
                right = done is not None and inventory(self.canary) == before
                if right and done.status == OK:
                    with open(self.folder + "/part", "rb") as f:
                        right = f.read() == CONTENT
                self.checks.that(right, "an upload with", what, "as", files[which][-7:], done)
                if not self.peer.alive():
                    self.peer = self.site.peer()
                for f in files:
                    self.clear(f)

    def as_service(self):
        """In the place of consign's own folders."""
        own = self.folder + "/.consign"
        for place in (own + "/parts", own + "/trees", own):
            for what, make in [t for t in self.things() if "link" in t[0] or "pipe" in t[0]]:
                self.peer.close()
                shutil.rmtree(own, ignore_errors=True)
                self.clear(own)
                if place != own:
                    os.mkdir(own, 0o700)
                    self.own(own)
                make(place)
                before = inventory(self.canary)
                self.peer = self.site.peer()
                self.peer.send(*put("/part", CONTENT, 7))
                done = self.peer.until("DONE", "ERROR")[-1]
                seen = [done] + self.ask(encode("PENDING", id=7, path="/")) + self.ask(encode("REMOVE", id=7, flags=2, path="/part")) + \
                    self.ask(encode("STAT", id=7, flags=1, path="/file")) + self.ask(encode("WALK", id=7, flags=2, path="/"))
                right = None not in seen and inventory(self.canary) == before and os.path.lexists(place)
                right = right and (done.status == OK) == place.endswith("trees")
                self.checks.that(right, "an upload with", what, "as", place[len(self.folder):], done)
                self.clear(place)
        self.clear(own)


def run(site, args):
    checks = Checks()
    garden = Garden(site, checks, args)
    garden.file()
    garden.as_file()
    garden.on_the_way()
    garden.as_part()
    garden.as_service()
    return checks.done(500)


main(run)
