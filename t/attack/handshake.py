#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Handshakes that no honest client would begin.

    handshake.py PORT CERTIFICATE KEY verdict       what the server says to who shows that: WELCOME USER, REFUSED STATUS: reason, EOF
    handshake.py PORT CERTIFICATE KEY pieces        a good one, in records and packets of a byte
    handshake.py PORT CERTIFICATE KEY floods        records without end
    handshake.py PORT CERTIFICATE KEY nonsense SEED records of TLS and DTLS that are none; damaged hellos
CERTIFICATE may hold as many as one likes, the first is the client's own."""
import os
import random
import socket
import ssl
import struct

from mutate import Wire
from peer import Checks, Gone, Peer, encode, main


def verdict(site):
    try:
        peer = Peer(site.port, site.certificate, site.key, hello=False)
        f = peer.welcome
        print("WELCOME " + f.user.decode() if f.name == "WELCOME" else f)
    except (Gone, OSError):
        print("EOF")
    return 0


def in_records(data, size):
    """The same handshake messages, in records of so many bytes: only what is in clear can be cut so."""
    out, rest = b"", data
    while rest:
        kind, version, n = struct.unpack(">BHH", rest[:5])
        body, rest = rest[5:5 + n], rest[5 + n:]
        if kind == 22:
            for i in range(0, n, size):
                piece = body[i:i + size]
                out += struct.pack(">BHH", kind, version, len(piece)) + piece
        else:
            out += struct.pack(">BHH", kind, version, n) + body
    return out


def pieces(site, checks):
    for what, change in (("a byte a record", lambda d, i: in_records(d, 1)), ("a byte a packet", lambda d, i: d)):
        wire = Wire(site)
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if "packet" in what:
            send = wire.socket.sendall

            class Slow:
                def __getattr__(self, name):
                    return getattr(wire_socket, name)

                def sendall(self, data):
                    for i in range(len(data)):
                        send(data[i:i + 1])
            wire_socket, wire.socket = wire.socket, Slow()
        try:
            shook = wire.handshake(change)
        except (OSError, ssl.SSLError):
            shook = False
        # Both are allowed; what counts is that it is one or the other, and soon.
        if shook:
            wire.tls.write(encode("HELLO", version=1) + encode("PING", id=77))
            wire.flush()
            checks.that(wire.answered(), what, "and then nothing")
        else:
            checks.that("record" in what, what, "was refused")
        wire.socket.close()


def hello_of(site):
    """A ClientHello."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["consign/1"])
    output = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), output).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return output.read()


def nonsense(site, checks, seed):
    rng, hello = random.Random(seed), hello_of(site)
    print("seed", seed)
    tries = [b"\x16\xfe\xff\0\0\0\0\0\0\0\0\0\x10" + os.urandom(16), b"\x16\xfe\xfd" + bytes(60), b"\x80\x2e\1\0\2" + bytes(41),
             struct.pack(">BHH", 22, 0x301, 0), struct.pack(">BHH", 22, 0x301, 65535) + bytes(70000), struct.pack(">BHH", 23, 0x303, 5) + b"hello",
             struct.pack(">BHH", 21, 0x303, 2) + b"\2\x28", struct.pack(">BHH", 20, 0x303, 1) + b"\1", struct.pack(">BHH", 24, 0x303, 3) + b"\1\xff\xff",
             struct.pack(">BHH", 22, 0x301, 4) + b"\1\xff\xff\xff" + bytes(1 << 20), hello[:5] + b"\2" + hello[6:], hello + hello,
             hello + struct.pack(">BHH", 23, 0x303, 16000) + bytes(16000), struct.pack(">BHH", 22, 0x301, 4) + b"\1\0\0\0"]
    for _ in range(60):
        turned = bytearray(hello)
        for _ in range(rng.choice((1, 1, 2, 9))):
            turned[rng.randrange(len(turned))] ^= 1 << rng.randrange(8)
        tries.append(bytes(turned))
    tries += [hello[:rng.randrange(len(hello))] for _ in range(20)]
    for data in tries:
        s = socket.create_connection(("127.0.0.1", site.port), 30)
        s.settimeout(30)
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            checks.that(False, "not ended:", data[:40].hex())
        s.close()
    checks.that(True, "all ended")


def floods(site, checks):
    """Records without end that say nothing: the connection is ended, long before its deadline."""
    hello = hello_of(site)
    for what, first, record in (("change cipher spec", hello, struct.pack(">BHH", 20, 0x303, 1) + b"\1"),
                                ("change cipher spec, before anything", b"", struct.pack(">BHH", 20, 0x303, 1) + b"\1"),
                                ("empty handshake records", b"", struct.pack(">BHH", 22, 0x301, 0)),
                                ("empty records", hello, struct.pack(">BHH", 23, 0x303, 0)),
                                ("warnings", hello, struct.pack(">BHH", 21, 0x303, 2) + b"\1\x5a"), ("hellos", hello, hello)):
        s = socket.create_connection(("127.0.0.1", site.port), 30)
        s.settimeout(30)
        sent = 0
        try:
            s.sendall(first)
            while sent < 64 << 20:
                s.sendall(record * 500)
                sent += 500 * len(record)
        except ConnectionError:
            pass
        except TimeoutError:
            sent = "no end"
        checks.that(isinstance(sent, int) and sent < 64 << 20, "not ended:", what, sent)
        s.close()


def run(site, args):
    if args[0] == "verdict":
        return verdict(site)
    checks = Checks()
    if args[0] == "pieces":
        pieces(site, checks)
    elif args[0] == "floods":
        floods(site, checks)
    else:
        nonsense(site, checks, int(args[1]))
    return checks.done()


main(run)
