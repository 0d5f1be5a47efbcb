#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Says to a server of consign what it is told to, right or wrong, and prints what comes back.

    rawclient.py PORT CERTIFICATE KEY STEP...

STEP is one of
    NAME field=value ...   sends that message: numbers, path=/x, a hash or bytes as hex digits
    RAW hex                sends these bytes
    FILL n                 sends n zero bytes
    CUT                    closes the connection at once, without a word
    WAIT                   prints the next frame that is no PROGRESS
    WAIT NAME              prints frames up to one of that name
    ONLINE command         runs it; the connection stays open meanwhile
At the end it prints what is left to come until the server closes, after saying that no more will be sent.
A frame is printed as NAME, and the status and reason of those that have one, the token by which others join after a READY that
allows it, the fields of META;
the end as EOF. The items of ITEMS follow it, one a line.
The tables are this file's own, so that a change of msg.def by mistake shows."""
import _ssl
import ctypes
import os
import socket
import ssl
import struct
import subprocess
import sys

ERRORS = ("OK USAGE CONFIG IO PROTO LIMIT AUTH DENIED EXISTS NOENT NAME TYPE TOKEN PIN TLS CONN "
          "TIMEOUT CHANGED CORRUPT BUSY NOSPACE NOTEMPTY DIFFER INTERNAL").split()
# B H I Q as in struct; s: a string with its length; h: a hash; t: the rest.
TABLE = {
    "WELCOME": (1, "min:H max:H features:Q agent:s user:s session:s rights:s quota:Q idle:I"),
    "REFUSED": (2, "status:H retry:I session:s reason:s"),
    "HELLO": (3, "version:H features:Q agent:s"),
    "ERROR": (4, "status:H reason:s"),
    "PING": (16, "id:I"),
    "STAT": (17, "id:I flags:I path:s"),
    "LIST": (18, "id:I flags:I path:s"),
    "MKDIR": (19, "id:I flags:I mode:I path:s"),
    "REMOVE": (20, "id:I flags:I path:s"),
    "RENAME": (21, "id:I flags:I path:s to:s"),
    "PENDING": (22, "id:I path:s"),
    "PUT": (23, "id:I flags:I path:s"),
    "GET": (24, "id:I flags:I path:s"),
    "SMALL": (25, "id:I flags:I mode:I mtime_s:Q mtime_ns:I kind:B root:h path:s bytes:t"),
    "FETCH": (26, "id:I flags:I path:s"),
    "WALK": (27, "id:I flags:I path:s"),
    "NEXT": (28, "id:I"),
    "STATS": (29, "id:I flags:I path:s names:t"),
    "ATTRIBUTES": (30, "id:I flags:I mode:I mtime_s:Q mtime_ns:I path:s"),
    "SYMLINK": (31, "id:I flags:I path:s target:s"),
    "META": (62, "id:I flags:I uid:I gid:I path:s set:t"),
    "META_GET": (63, "id:I flags:I path:s"),
    "DONE": (32, "id:I status:H reason:s"),
    "INFO": (33, "id:I type:B mode:I size:Q mtime_s:Q mtime_ns:I has_root:B root:h"),
    "ENTRY": (34, "id:I type:B mode:I size:Q mtime_s:Q mtime_ns:I name:s"),
    "PART": (35, "id:I length:Q have:Q mtime_s:Q active:B path:s"),
    "PROGRESS": (36, "id:I phase:B done:Q total:Q"),
    "ITEMS": (37, "id:I more:B items:t"),
    "OFFER": (48, "id:I length:Q log2:B mtime_s:Q mtime_ns:I mode:I shared:B allocated:Q"),
    "READY": (49, "id:I have:Q old:Q old_length:Q shared:B"),
    "HAVE": (50, "id:I first:Q hashes:t"),
    "DATA": (51, "id:I index:Q offset:I kind:B bytes:t"),
    "CHUNK": (52, "id:I index:Q hash:h"),
    "KEEP": (53, "id:I first:Q count:Q"),
    "COMMIT": (54, "id:I length:Q root:h"),
    "ABORT": (55, "id:I status:H reason:s"),
    "OLD": (56, "id:I first:Q hashes:t"),
    "COPY": (57, "id:I index:Q from:Q count:Q"),
    "SKIP": (58, "id:I first:Q count:Q"),
    "FINISH": (59, "id:I"),
    "WANT": (61, "id:I first:Q count:Q"),
    "JOIN": (15, "id:I flags:I token:h path:s"),
    "HOLE": (60, "id:I first:Q count:Q"),
}
NAMES = {number: name for name, (number, _) in TABLE.items()}
ITEM = ">BIQQIB32s"
TYPES = "missing file folder link other leave fault".split()
DEFAULTS = {"id": "1", "version": "1", "log2": "20", "mode": "0644", "path": "/x", "to": "/y"}


def number(text):
    return int(text, 8) if len(text) > 1 and text.isdigit() and text[0] == "0" else int(text, 0)


def value_of(kind, text):
    if kind == "s":
        data = os.fsencode(text).decode("unicode_escape").encode("latin-1")
        return struct.pack(">H", len(data)) + data
    if kind == "h":
        return bytes.fromhex(text).ljust(32, b"\0")
    if kind == "t":
        return bytes.fromhex(text)
    return struct.pack(">" + kind, number(text) if text else 0)


def message(words):
    kind, fields = TABLE[words[0]]
    given = dict(w.split("=", 1) for w in words[1:])
    body = b""
    for field in fields.split():
        name, how = field.split(":")
        body += value_of(how, given.pop(name, DEFAULTS.get(name, "")))
    assert not given, given
    return struct.pack(">IB", len(body) + 1, kind) + body


def show_items(body):
    """"more" or "last", then a line for each item: its type (of a fault its status) and name."""
    print(" more" if body[0] else " last")
    body = body[1:]
    while body:
        (n,) = struct.unpack(">H", body[:2])
        item, body = body[2:2 + n], body[2 + n:]
        kind, mode, size, mtime_s, mtime_ns, has_root, root = struct.unpack_from(ITEM, item)
        (length,) = struct.unpack_from(">H", item, struct.calcsize(ITEM))
        at = struct.calcsize(ITEM) + 2
        name, (target_length,), target = item[at:at + length], struct.unpack_from(">H", item, at + length), item[at + length + 2:]
        assert len(name) == length and len(target) == target_length
        text = " " + TYPES[kind] + (":" + ERRORS[mode] if kind == 6 else "")
        print(text, name.decode("ascii", "backslashreplace").replace("\n", "\\n"),
              *([size, "%o" % mode] if kind == 1 else []), *([root.hex()] if has_root else []),
              *(["->", target.decode("ascii", "backslashreplace")] if target else []))


class Server:
    def __init__(self, port, certificate, key):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["consign/1"])
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20))
        self.socket.settimeout(60)

    def export(self, label, context):
        """32 bytes by the exporter of RFC 8446, 7.5. The module ssl does not show it: its object holds OpenSSL's as
        the second field after its head."""
        openssl = ctypes.CDLL(_ssl.__file__)
        tls = ctypes.c_void_p.from_address(id(self.socket._sslobj) + object.__basicsize__ + 8)
        out = ctypes.create_string_buffer(32)
        assert openssl.SSL_export_keying_material(
            tls, out, ctypes.c_size_t(32), label, ctypes.c_size_t(len(label)), context,
            ctypes.c_size_t(len(context)), 1) == 1
        return out.raw

    def exactly(self, n):
        data = b""
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def frame(self):
        (n,) = struct.unpack(">I", self.exactly(4))
        body = self.exactly(n)
        return NAMES.get(body[0], str(body[0])), body[1:]

    def show(self):
        while True:
            name, body = self.frame()
            if name == "PROGRESS":
                continue
            text = name
            for skip, names in ((0, ("ERROR", "REFUSED")), (4, ("DONE", "ABORT"))):
                if name in names:
                    status = struct.unpack(">H", body[skip:skip + 2])[0]
                    at = skip + 2
                    if name == "REFUSED":
                        at += 4
                        at += 2 + struct.unpack(">H", body[at:at + 2])[0]
                    text += " " + ERRORS[status] + " " + body[at + 2:].decode("utf-8", "replace")
            if name == "READY" and body[-1]:
                text += " " + self.export(b"EXPORTER-consign-join", body[:4]).hex()
            if name == "META":
                text += " flags=%d uid=%d gid=%d set=%s" % (*struct.unpack(">III", body[4:16]), body[18:].hex())
            print(text.rstrip(), flush=True)
            if name == "ITEMS":
                show_items(body[4:])
            return name

    def step(self, words):
        if words[0] == "RAW":
            self.socket.sendall(bytes.fromhex(words[1]))
        elif words[0] == "FILL":
            self.socket.sendall(bytes(int(words[1])))
        elif words[0] == "WAIT":
            while self.show() != words[-1] and len(words) > 1:
                pass
        elif words[0] == "ONLINE":
            subprocess.run(words[1:], check=True)
        else:
            self.socket.sendall(message(words))

    def rest(self):
        # The method of SSLSocket would end the decryption of what is still to come.
        socket.socket.shutdown(self.socket, socket.SHUT_WR)
        while True:
            self.show()


def main():
    server = Server(int(sys.argv[1]), sys.argv[2], sys.argv[3])
    steps = [s.split(" ") for s in sys.argv[4:]]
    try:
        for words in steps:
            if words[0] == "CUT":
                server.socket.close()
                return
            server.step(words)
    except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
        pass
    except EOFError:
        print("EOF")
        return
    try:
        server.rest()
    except (EOFError, OSError, ssl.SSLError):
        print("EOF")


if __name__ == "__main__":
    main()
