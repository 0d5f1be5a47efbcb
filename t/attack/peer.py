# SPDX-License-Identifier: ISC
"""A client of consign that keeps to no rule: what the programs of this folder share.

Messages are built and read by common/msg.def, so a message that is added there is tried by those who try all."""
import hashlib
import os
import re
import socket
import ssl
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PROTO, EOF = "PROTO", "EOF"
IGNORABLE = 128
NUMBERS = {"U8": "B", "U16": "H", "U32": "I", "U64": "Q"}


def common(name):
    with open(os.path.join(HERE, "../../common", name), encoding="utf-8") as f:
        return f.read()


def read_messages():
    """NAME: (type, [(field, kind, most)]) of msg.def; kind is that of struct, "s" a string, "h" a hash, "t" the rest."""
    out = {}
    text = re.sub(r"/\*.*?\*/", "", common("msg.def"), flags=re.S)
    for name, number, body in re.findall(r"MSG\(\w+, (\w+), (\d+)\)(.*?)END", text, re.S):
        fields = []
        for kind, args in re.findall(r"([A-Z]\w*)\(([^)]*)\)", body):
            words = [w.strip() for w in args.split(",")]
            how = NUMBERS.get(kind) or {"STR": "s", "HASH": "h", "TAIL": "t"}[kind]
            fields.append((words[0], how, int(words[1]) if len(words) > 1 else 32))
        out[name] = (int(number), fields)
    return out


MESSAGES = read_messages()
NAMES = {number: name for name, (number, _) in MESSAGES.items()}
STATUSES = {int(n): name for name, n in re.findall(r"^ERR\((\w+), (\d+),", common("err.def"), re.M)}
PATHS = ("path", "from", "to")


def encode(name, **given):
    """A frame. Fields that are not given are 0 or empty; bytes for a number or a hash stand for themselves."""
    number, fields = MESSAGES[name]
    body = b""
    for field, kind, _ in fields:
        value = given.pop(field, None)
        if kind == "s":
            value = value if value is not None else b"/x" if field in PATHS else b""
            value = os.fsencode(value) if isinstance(value, str) else value
            body += struct.pack(">H", len(value)) + value
        elif kind == "h":
            body += (value or b"").ljust(32, b"\0")
        elif kind == "t":
            body += value or b""
        elif isinstance(value, bytes):
            body += value
        else:
            body += struct.pack(">" + kind, value or 0)
    assert not given, given
    return frame_of(number, body)


def frame_of(number, body=b""):
    return struct.pack(">IB", len(body) + 1, number) + body


def decode(number, body):
    """A dict; an unknown message has its body only."""
    if number not in NAMES:
        return {"body": body}
    out = {}
    for field, kind, _ in MESSAGES[NAMES[number]][1]:
        if kind == "s":
            (n,), body = struct.unpack(">H", body[:2]), body[2:]
            out[field], body = body[:n], body[n:]
        elif kind == "h":
            out[field], body = body[:32], body[32:]
        elif kind == "t":
            out[field], body = body, b""
        else:
            n = struct.calcsize(">" + kind)
            (out[field],), body = struct.unpack(">" + kind, body[:n]), body[n:]
    assert not body, "more than %s has" % NAMES[number]
    return out


class Frame:
    def __init__(self, number, body):
        self.name = NAMES.get(number, str(number))
        self.fields = decode(number, body)
        self.status = STATUSES.get(self.fields["status"]) if "status" in self.fields else None

    def __getattr__(self, name):
        return self.fields[name]

    def __repr__(self):
        text = self.name + (" " + self.status if self.status is not None else "")
        return text + (": " + self.fields["reason"].decode("utf-8", "replace") if self.fields.get("reason") else "")


class Gone(Exception):
    """The server ended the connection."""


class Peer:
    """A connection; hello: as far as the first request."""

    def __init__(self, port, certificate, key, hello=True, alpn="consign/1"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols([alpn])
        context.load_cert_chain(certificate, key)
        self.plain = socket.create_connection(("127.0.0.1", port), 30)
        self.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(self.plain)
        self.socket.settimeout(60)
        self.input = b""
        self.welcome = self.frame()
        if hello and self.welcome.name == "WELCOME":
            self.send(encode("HELLO", version=1, agent="attack"))

    def send(self, *frames):
        """True unless the server is gone."""
        try:
            self.socket.sendall(b"".join(frames))
            return True
        except (OSError, ssl.SSLError):
            return False

    def exactly(self, n):
        while len(self.input) < n:
            try:
                piece = self.socket.recv(65536)
            except TimeoutError:
                raise
            except (OSError, ssl.SSLError):
                piece = b""
            if not piece:
                raise Gone
            self.input += piece
        out, self.input = self.input[:n], self.input[n:]
        return out

    def frame(self, progress=False):
        while True:
            (n,) = struct.unpack(">I", self.exactly(4))
            body = self.exactly(n)
            out = Frame(body[0], body[1:])
            if progress or out.name != "PROGRESS":
                return out

    def until(self, *names):
        """Frames up to one of these names, or to the end, which is None."""
        out = []
        try:
            while not out or out[-1].name not in names:
                out.append(self.frame())
        except Gone:
            out.append(None)
        return out

    def ask(self, *frames):
        """Sends and returns the DONE, or ERROR, that follows; None at the end."""
        self.send(*frames)
        return self.until("DONE", "ERROR")[-1]

    def request(self, name, **fields):
        return self.ask(encode(name, **{"id": 7, **fields}))

    def rest(self):
        """What is left to come until the server closes, without a word of ours: frames."""
        out = []
        try:
            while True:
                out.append(self.frame())
        except Gone:
            return out

    def alive(self):
        """Whether a request is answered as ever."""
        done = self.request("PING", id=4711)
        return done is not None and done.name == "DONE" and done.status == "OK" and done.id == 4711

    def close(self):
        self.socket.close()


class Site:
    """Where the server is, and as whom: PORT CERTIFICATE KEY of the command line."""

    def __init__(self, port, certificate, key):
        self.port, self.certificate, self.key = int(port), certificate, key

    def peer(self, **how):
        return Peer(self.port, self.certificate, self.key, **how)


class Checks:
    """Counts, and prints what was not as it should be. done() is the exit status."""

    def __init__(self):
        self.good = self.bad = 0

    def that(self, right, *what):
        if right:
            self.good += 1
        else:
            self.bad += 1
            print("not held:", *what, flush=True)
        return right

    def done(self, least=1):
        print("%d held, %d not" % (self.good, self.bad))
        if self.good + self.bad < least:
            print("fewer than the %d that there should be" % least)
            return 1
        return 1 if self.bad else 0


# ---- a content in chunks of 16 KiB ----

LOG2 = 14
CHUNK = 1 << LOG2


def sha(*parts):
    h = hashlib.sha256()
    for p in parts:
        h.update(p)
    return h.digest()


def root_of(content):
    """The root of a content (BEP 52)."""
    if not content:
        return bytes(32)
    row = [sha(content[i:i + CHUNK]) for i in range(0, len(content), CHUNK)]
    while len(row) & (len(row) - 1):
        row.append(bytes(32))
    while len(row) > 1:
        row = [sha(a, b) for a, b in zip(row[::2], row[1::2])]
    return row[0]


def offer(content, ident=7, **more):
    return encode("OFFER", **{"id": ident, "length": len(content), "chunk_log2": LOG2, "mode": 0o644,
                              "allocated": len(content), **more})


def chunk(content, i, ident=7):
    """Both frames of a chunk."""
    piece = content[i * CHUNK:(i + 1) * CHUNK]
    return encode("DATA", id=ident, index=i, bytes=piece) + encode("CHUNK", id=ident, index=i, hash=sha(piece))


def commit(content, ident=7):
    return encode("COMMIT", id=ident, length=len(content), root=root_of(content))


def put(path, content, ident=7, flags=1):
    """All frames of an upload, from PUT to COMMIT."""
    chunks = (len(content) + CHUNK - 1) // CHUNK
    return [encode("PUT", id=ident, flags=flags | 4, path=path), offer(content, ident)] + \
        [chunk(content, i, ident) for i in range(chunks)] + [commit(content, ident)]


def main(run):
    """run(site, the other arguments) returns the exit status."""
    sys.exit(run(Site(*sys.argv[1:4]), sys.argv[4:]))
