#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""A good session, damaged: cut anywhere, bits turned, pieces put elsewhere; the TLS records of it, too.

    mutate.py PORT CERTIFICATE KEY TRIES SEED

Whatever comes of it, the connection ends when no more is sent, and the next one is served. Which contents there may be
afterwards is printed as "content SHA-256"."""
import hashlib
import random
import socket
import ssl
import struct

from peer import CHUNK, Checks, Peer, chunk, commit, encode, main, offer, put, sha

SMALL = b"a small one"
DONE = encode("DONE", id=77)
LARGE = hashlib.shake_128(b"mutate").digest(CHUNK + 77)


def recording():
    """The frames that a client says, from HELLO on."""
    small = {"id": 3, "flags": 9, "mode": 0o644, "root": sha(SMALL), "bytes": SMALL}
    return [encode("HELLO", version=1, agent="attack"), encode("PING", id=1), encode("MKDIR", id=2, flags=1, mode=0o755, path="/m/d"),
            encode("SMALL", path="/m/small", **small), encode("SMALL", path="/m/d/small", **small),
            encode("STAT", id=4, flags=1, path="/m/small"), encode("LIST", id=5, path="/m"), encode("WALK", id=6, flags=2, path="/m"),
            encode("NEXT", id=6), encode("STATS", id=7, path="/m", names=struct.pack(">H", 5) + b"small"),
            encode("PUT", id=8, flags=5, path="/m/large"), offer(LARGE, 8), chunk(LARGE, 0, 8), chunk(LARGE, 1, 8), commit(LARGE, 8),
            encode("FETCH", id=9, path="/m/small"), encode("GET", id=10, path="/m/large"), encode("READY", id=10),
            encode("DONE", id=10, status=9), encode("ATTRIBUTES", id=11, mode=0o755, path="/m/d"),
            encode("SYMLINK", id=12, flags=1, path="/m/link", target="small"),
            encode("META", id=13, flags=1, path="/m/small", set=b"\x06user.a\x00\x01b"), encode("META_GET", id=14, flags=7, path="/m/small"),
            encode("RENAME", id=15, flags=1, **{"from": "/m/d/small", "to": "/m/d/other"}),
            encode("PENDING", id=16, path="/"), encode("REMOVE", id=17, path="/m/d/other"), encode("REMOVE", id=18, flags=1, path="/m/d"),
            *put("/m/large", LARGE, 19)]


def say(site, data):
    """Whether the server ends the connection once it was sent this."""
    peer = site.peer(hello=False)
    peer.send(data)
    try:
        socket.socket.shutdown(peer.socket, socket.SHUT_WR)
        peer.rest()
    except OSError:
        pass
    peer.close()
    return True


def damaged(frames, rng, tries):
    whole = b"".join(frames)
    heads, at = [], 0
    for f in frames:
        # What is no content is what is parsed.
        heads += range(at, at + min(len(f), 60))
        at += len(f)
    for f in range(0, len(frames), max(1, 4 * len(frames) // tries)):
        place = sum(len(x) for x in frames[:f])
        for cut in (place, place + 1, place + 5):
            yield "cut at %d" % cut, whole[:cut]
    for _ in range(tries // 4):
        cut = rng.choice(heads)
        yield "cut at %d" % cut, whole[:cut]
    for _ in range(tries // 2):
        turned = bytearray(whole)
        bits = []
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            place = rng.choice(heads)
            bits.append(place)
            turned[place] ^= 1 << rng.randrange(8)
        yield "bits turned at %s" % bits, bytes(turned)
    for n in range(tries // 4):
        mixed = list(frames[1:])
        for _ in range(rng.randrange(1, 6)):
            i, j = rng.randrange(len(mixed)), rng.randrange(len(mixed))
            how = rng.randrange(3)
            if how == 0:
                mixed.insert(i, mixed[j])
            elif how == 1:
                mixed[i], mixed[j] = mixed[j], mixed[i]
            elif len(mixed) > 1:
                del mixed[i]
        yield "mixed, %d" % n, frames[0] + b"".join(mixed)


class Wire:
    """TLS by hand, so that what goes over the wire can be had and changed."""

    def __init__(self, site):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["consign/1"])
        context.load_cert_chain(site.certificate, site.key)
        self.socket = socket.create_connection(("127.0.0.1", site.port), 30)
        self.socket.settimeout(30)
        self.input, self.output = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.input, self.output)
        self.sent = []

    def flush(self, change=None):
        data = self.output.read()
        if data:
            data = change(data, len(self.sent)) if change else data
            self.sent.append(data)
            self.socket.sendall(data)

    def handshake(self, change=None):
        """False when the server ended it."""
        while True:
            try:
                self.tls.do_handshake()
                self.flush(change)
                return True
            except ssl.SSLWantReadError:
                self.flush(change)
                data = self.socket.recv(65536)
                if not data:
                    return False
                self.input.write(data)

    def answered(self):
        """Whether DONE of request 77 comes, before the connection ends."""
        out = b""
        while DONE not in out:
            try:
                out += self.tls.read(65536)
                continue
            except ssl.SSLWantReadError:
                pass
            except (ssl.SSLError, OSError):
                return False
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                return False
            self.input.write(data)
        return True


def records(site, checks, rng, tries):
    """A bit turned in what the client says in its handshake, or behind it: no such connection gets so far as an answer."""
    for n in range(tries):
        wire, flight, answered = Wire(site), n % 3, False
        where = []

        def turn(data, i):
            if i != flight or where:
                return data
            where.append(rng.randrange(len(data)))
            return data[:where[0]] + bytes([data[where[0]] ^ 1 << rng.randrange(8)]) + data[where[0] + 1:]
        try:
            if wire.handshake(turn):
                wire.tls.write(encode("HELLO", version=1) + encode("PING", id=77))
                wire.flush(turn)
                # So that no record is waited for to its end, however long it says to be.
                wire.socket.sendall(bytes(70000))
                answered = wire.answered()
        except TimeoutError:
            answered = "not ended"
        except (OSError, ssl.SSLError):
            pass
        checks.that(where and not answered, "a bit turned in flight %d at %s" % (flight, where), answered)
        wire.socket.close()


def replayed(site, checks):
    """What a client sent, byte for byte, to another session: nothing is done by it."""
    wire = Wire(site)
    wire.handshake()
    wire.tls.write(b"".join([encode("HELLO", version=1), encode("MKDIR", id=1, mode=0o755, path="/replayed"), encode("REMOVE", id=77, flags=1, path="/replayed")]))
    wire.flush()
    checks.that(wire.answered(), "the session that is recorded")
    # Once more, in the same steps.
    again = socket.create_connection(("127.0.0.1", site.port), 30)
    again.settimeout(30)
    try:
        for data in wire.sent:
            again.sendall(data)
        again.shutdown(socket.SHUT_WR)
        while again.recv(65536):
            pass
    except OSError:
        pass
    peer = site.peer()
    checks.that(peer.request("STAT", path="/replayed").status == "NOENT", "replayed")
    peer.close()


def run(site, args):
    tries, seed = int(args[0]), int(args[1])
    rng, checks = random.Random(seed), Checks()
    print("seed", seed)
    for content in (SMALL, LARGE, b""):
        print("content", hashlib.sha256(content).hexdigest())
    frames = recording()
    peer = site.peer(hello=False)
    peer.send(*frames)
    socket.socket.shutdown(peer.socket, socket.SHUT_WR)
    said = peer.rest()
    checks.that(any(f.name == "DONE" and f.id == 19 and f.status == "OK" for f in said), "the session that is damaged", said)
    for n, (what, data) in enumerate(damaged(frames, rng, tries)):
        checks.that(say(site, data), what)
        if n % 10 == 0:
            peer = Peer(site.port, site.certificate, site.key)
            checks.that(peer.alive(), "the connection after", what)
            peer.close()
    records(site, checks, rng, tries // 4)
    replayed(site, checks)
    return checks.done(tries)


if __name__ == "__main__":
    main(run)
