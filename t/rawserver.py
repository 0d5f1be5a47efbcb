#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""A server of consign that says what it is told to, right or wrong.

    rawserver.py PORT-FILE CERTIFICATE KEY RULES-FILE

Listens on a free port of 127.0.0.1, which it writes to PORT-FILE, shakes hands, says WELCOME, hears HELLO, and then
answers each request by the first rule that fits. The rules, a line each, are read anew for each connection:

    REQUEST[ path=P][ flags=N]: STEP; STEP ...

STEP is one of
    NAME field=value ...    sends that message, as rawclient.py does; its id is the request's unless given
    TIMES n NAME ...        sends it n times, "EVER NAME ..." until the client is gone; a # in it counts from 0
    ITEM field=value ...    puts that on the page
    PAGE [field=value ...]  sends the page, an ITEMS, and begins another
    WAIT NAME               reads frames up to one of that name
    RAW hex                 sends these bytes
    CUT                     closes the connection at once
A rule for WELCOME is what it says instead of that. A request without a rule: STAT says that it is a folder, LIST and
WALK that nothing is in it, FETCH that it is long, PING, MKDIR, ATTRIBUTES, SYMLINK, META and META_GET succeed, and everything else does not
exist. What it hears is printed, a name a line, and the end of each connection as EOF. It ends when whoever
started it is gone."""
import os
import socket
import ssl
import struct
import sys
import threading
import time

import rawclient

rawclient.TABLE.update({
    "ITEM": (38, "type:B mode:I size:Q mtime_s:Q mtime_ns:I has_root:B root:h name:s target:s"),
})
rawclient.NAMES.update({number: name for name, (number, _) in rawclient.TABLE.items()})
DEFAULTS = {
    "WELCOME": ["WELCOME min=1 max=1 agent=raw user=alice session=s rights=all idle=300"],
    "STAT": ["INFO type=2 mode=0755", "DONE"],
    "WALK": ["PAGE", "DONE"], "LIST": ["DONE"], "PING": ["DONE"], "MKDIR": ["DONE"], "FETCH": ["DONE"], "ATTRIBUTES": ["DONE"], "SYMLINK": ["DONE"], "META": ["DONE"], "META_GET": ["DONE"],
    "PUT": ["WAIT OFFER", "DONE status=9 reason=nothing", "WAIT ABORT"],
}
REQUESTS = ("PING", "STAT", "LIST", "MKDIR", "REMOVE", "RENAME", "PENDING", "PUT", "GET",
            "SMALL", "FETCH", "WALK", "NEXT", "STATS", "ATTRIBUTES", "SYMLINK", "META", "META_GET")


def path_of(name, body):
    """Its first string."""
    at = 0
    for field in rawclient.TABLE[name][1].split():
        kind = field.split(":")[1]
        if kind == "s":
            n = struct.unpack(">H", body[at:at + 2])[0]
            return body[at + 2:at + 2 + n].decode("latin-1")
        at += 32 if kind == "h" else struct.calcsize(">" + kind)
    return ""


class Peer(rawclient.Server):
    """One connection; the side of the client is what reads and writes frames here, too."""

    def __init__(self, sock, rules):
        self.socket, self.rules, self.id, self.page = sock, rules, 0, b""
        self.socket.settimeout(60)

    def build(self, words, count=0):
        if words[0] == "RAW":
            return bytes.fromhex(words[1])
        words = [w.replace("#", str(count)) for w in words]
        if "id:I" in rawclient.TABLE[words[0]][1] and not any(w.startswith("id=") for w in words):
            words.append("id=%d" % self.id)
        return rawclient.message(words)

    def many(self, words, n):
        count = 0
        while n is None or count < n:
            batch = range(count, count + 500 if n is None else min(count + 500, n))
            # What does not count is made once.
            text = (b"".join(self.build(words, i) for i in batch) if "#" in " ".join(words)
                    else self.build(words) * len(batch))
            self.socket.sendall(text)
            count += len(batch)

    def hear(self):
        name, body = self.frame()
        print(name, flush=True)
        return name, body

    def do(self, step):
        words = step.split()
        if words[0] == "WAIT":
            while self.hear()[0] != words[1]:
                pass
        elif words[0] == "TIMES":
            self.many(words[2:], int(words[1]))
        elif words[0] == "EVER":
            self.many(words[1:], None)
        elif words[0] == "ITEM":
            item = self.build(words)[5:]
            self.page += struct.pack(">H", len(item)) + item
        elif words[0] == "PAGE":
            self.socket.sendall(self.build(["ITEMS", "items=" + self.page.hex()] + words[1:]))
            self.page = b""
        elif words[0] == "CUT":
            raise EOFError
        else:
            self.socket.sendall(self.build(words))

    def steps(self, name, **request):
        for rule, only, steps in self.rules:
            if rule == name and all(request.get(k) == v for k, v in only.items()):
                return steps
        return DEFAULTS.get(name, ["DONE status=9 reason=nothing"])

    def serve(self):
        try:
            for step in self.steps("WELCOME"):
                self.do(step)
            while True:
                name, body = self.hear()
                if name not in REQUESTS:
                    continue
                self.id = struct.unpack(">I", body[:4])[0]
                flags = str(struct.unpack(">I", body[4:8])[0]) if "flags" in rawclient.TABLE[name][1] else "0"
                for step in self.steps(name, path=path_of(name, body), flags=flags):
                    self.do(step)
        except (EOFError, OSError):
            pass
        print("EOF", flush=True)
        self.socket.close()


def parse(rule):
    head, _, steps = rule.partition(": ")
    words = head.split()
    only = dict(w.split("=", 1) for w in words[1:])
    return words[0], only, [s.strip() for s in steps.split("; ")]


def accept(listener, context, rules_file):
    while True:
        plain, _ = listener.accept()
        try:
            with open(rules_file) as f:
                rules = [parse(line.rstrip("\n")) for line in f]
            peer = Peer(context.wrap_socket(plain, server_side=True), rules)
        except OSError:
            continue
        threading.Thread(target=peer.serve, daemon=True).start()


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.set_alpn_protocols(["consign/1"])
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    listener = socket.create_server(("127.0.0.1", 0))
    parent = os.getppid()
    threading.Thread(target=accept, args=(listener, context, sys.argv[4]), daemon=True).start()
    with open(sys.argv[1] + ".new", "w") as f:
        f.write("%d\n" % listener.getsockname()[1])
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    while os.getppid() == parent:
        time.sleep(0.2)


main()
