#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""A TCP relay that makes trouble on command.

    relay.py NAME PORT [COMMAND ...]

Listens on a free port of 127.0.0.1, which it writes to NAME.port, and forwards each connection to PORT there.
A COMMAND is an argument of its own, or a line written to the FIFO NAME.ctl, answered by a line in NAME.ack:

    cut WHICH DIRECTION POSITION fin|rst    ends the connection there, both ways
    cut WHICH now fin|rst                   ends it at once
    stall WHICH DIRECTION POSITION SECONDS  forwards nothing more that way for so long; "ever": for good
    go                                      ends all stalls
    delay MILLISECONDS                      holds everything so long, each way
    rate BYTES                              forwards at most so many a second, each way, all connections together
    buffer BYTES                            holds at most so many a connection and way (later connections only)
    refuse N                                resets the next N connections
    stats                                   writes NAME.stats
    quit

WHICH is a connection by number, counted from 1; "next", the one to come; or "all", those there and to come.
DIRECTION is up (to the server) or down. POSITION is a number of bytes, or RECORD.BYTES: so many bytes into that
TLS record of the direction, the first being 1. There the trouble comes as soon as the bytes before it are gone
on; with a + behind, when the next byte wants to. NAME.stats has a line for each connection:

    NUMBER STATE up BYTES down BYTES up-records TYPE:LENGTH ... down-records TYPE:LENGTH ...

STATE is open, cut, refused or closed, BYTES are those that were passed on, and of the records (all that came,
as far as whole headers came) the first 1000 and the last 20 are kept, with "..." between. It is
written at the end, too, and on SIGUSR1. The relay ends when whoever started it is gone."""
import collections
import os
import selectors
import signal
import socket
import struct
import sys
import time

PIECE = 65536
RECORDS_FIRST, RECORDS_LAST, RECORDS_KNOWN = 1000, 20, 1000


class Records:
    """Where TLS records begin in a stream."""

    def __init__(self):
        self.begins = {}    # where, by number; what is long gone is forgotten
        self.first, self.last, self.count = [], collections.deque(maxlen=RECORDS_LAST), 0
        self.next, self.head, self.at = 0, b"", 0

    def add(self, data):
        i = 0
        while i < len(data):
            if not self.head:
                skip = min(self.next - self.at, len(data) - i)
                self.at += skip
                i += skip
                if i == len(data):
                    break
                self.count += 1
                self.begins[self.count] = self.at
                self.begins.pop(self.count - RECORDS_KNOWN, None)
            take = data[i:i + 5 - len(self.head)]
            self.head += take
            self.at += len(take)
            i += len(take)
            if len(self.head) == 5:
                kind, length = self.head[0], struct.unpack(">H", self.head[3:])[0]
                text = "%d:%d" % (kind, length)
                if self.count <= RECORDS_FIRST:
                    self.first.append(text)
                else:
                    self.last.append(text)
                self.next, self.head = self.at + length, b""

    def text(self):
        gap = ["..."] if self.count > RECORDS_FIRST + RECORDS_LAST else []
        return " ".join(self.first + gap + list(self.last))


class Trouble:
    def __init__(self, position, act):
        self.record, self.offset, self.late = position
        self.act = act

    @staticmethod
    def position(text):
        record, dot, offset = text.rstrip("+").partition(".")
        return int(record) if dot else 0, int(offset if dot else record), text.endswith("+")

    def place(self, records):
        """The byte it stands before; None while unknown."""
        if not self.record:
            return self.offset
        if self.record > records.count + 1:
            return None
        if self.record == records.count + 1:
            # The end of what came is known once its last record's header is.
            known = not self.offset and not self.late and not records.head
            return records.next if known else None
        return records.begins.get(self.record, 0) + self.offset


class Way:
    """One direction of a connection."""

    def __init__(self, relay, name, source, target):
        self.relay, self.name, self.source, self.target = relay, name, source, target
        self.queue = collections.deque()    # (when due, bytes)
        self.held = self.passed = 0
        self.records = Records()
        self.troubles = []
        self.stalled_until = 0
        self.blocked = self.eof = self.shut = False

    def wants_input(self, size):
        return not self.eof and self.held < size

    def read(self, size):
        data = self.source.recv(min(PIECE, size - self.held))
        if not data:
            self.eof = True
            return
        self.records.add(data)
        self.held += len(data)
        self.queue.append((time.monotonic() + self.relay.delay, data))

    def room(self):
        """Bytes that may pass before the next trouble, and that trouble when it is due now."""
        room, due = None, None
        for t in self.troubles:
            place = t.place(self.records)
            if place is None:
                continue
            left = max(place - self.passed, 0)
            if left == 0 and (not t.late or self.held):
                return 0, t
            room = left if room is None else min(room, left)
        return room, due

    def step(self, now):
        """Passes on what can be now. Returns when to come again for time's sake, or None."""
        self.blocked = False
        while True:
            room, trouble = self.room()
            if trouble:
                self.troubles.remove(trouble)
                trouble.act(self)
                return now
            if self.stalled_until > now:
                return self.stalled_until
            if not self.queue:
                if self.eof and not self.shut:
                    self.shut = True
                    self.target.shutdown(socket.SHUT_WR)
                return None
            due, data = self.queue[0]
            if due > now:
                return due
            n = len(data) if room is None else min(len(data), room)
            n, wait = self.relay.allowed(self.name, n, now)
            if n == 0:
                return wait
            try:
                n = self.target.send(data[:n])
            except BlockingIOError:
                self.blocked = True
                return None
            self.passed += n
            self.held -= n
            self.relay.spend(self.name, n)
            if n == len(data):
                self.queue.popleft()
            else:
                self.queue[0] = (due, data[n:])


class Connection:
    def __init__(self, relay, number, client):
        self.relay, self.number, self.state = relay, number, "open"
        self.client, self.server = client, socket.socket()
        self.size = relay.buffer
        if self.size < 1 << 20:
            self.server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.size)
            self.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.size)
        self.server.connect(("127.0.0.1", relay.to))
        for s in (self.client, self.server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.setblocking(False)
        self.ways = {"up": Way(relay, "up", self.client, self.server),
                     "down": Way(relay, "down", self.server, self.client)}

    def of(self, source):
        return self.ways["up" if source is self.client else "down"]

    def step(self, ready, now):
        """Returns when to come again, or None."""
        again = []
        try:
            for source in ready:
                way = self.of(source)
                if self.state == "open" and way.wants_input(self.size):
                    way.read(self.size)
            for way in self.ways.values():
                if self.state == "open":
                    again.append(way.step(now))
            if self.state == "open" and all(w.shut for w in self.ways.values()):
                self.close("closed")
        except BlockingIOError:
            pass
        except OSError:
            # An end that was hard on one side is so on the other.
            if self.state == "open":
                self.reset("closed")
        times = [t for t in again if t is not None]
        return min(times) if times else None

    def interest(self):
        """What to wait for: (socket, events)."""
        if self.state != "open":
            return []
        events = {self.client: 0, self.server: 0}
        for way in self.ways.values():
            if way.wants_input(self.size):
                events[way.source] |= selectors.EVENT_READ
            if way.blocked:
                events[way.target] |= selectors.EVENT_WRITE
        return [(s, e) for s, e in events.items() if e]

    def reset(self, state):
        for s in (self.client, self.server):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close(state)

    def close(self, state):
        self.state = state
        self.client.close()
        self.server.close()

    def cut(self, how):
        if self.state != "open":
            return
        if how == "rst":
            self.reset("cut")
            return
        self.state = "cut"
        for s in (self.client, self.server):
            try:
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        # A socket closed with bytes unread would send RST.
        self.relay.drains += [self.client, self.server]

    def line(self):
        up, down = self.ways["up"], self.ways["down"]
        return "%d %s up %d down %d up-records %s down-records %s" % (
            self.number, self.state, up.passed, down.passed, up.records.text(), down.records.text())


class Relay:
    def __init__(self, name, to):
        self.name, self.to = name, to
        self.delay, self.rate, self.buffer, self.refuse = 0.0, 0, 4 << 20, 0
        self.credit = {"up": (0.0, time.monotonic()), "down": (0.0, time.monotonic())}
        self.connections, self.refused, self.drains = [], [], []
        self.planned = []       # (for which connections, what is done to one)
        self.quit = False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.setblocking(False)
        for end in ("ctl", "ack"):
            os.mkfifo("%s.%s" % (name, end))
        self.ctl = os.open(name + ".ctl", os.O_RDWR | os.O_NONBLOCK)
        self.ack = os.open(name + ".ack", os.O_RDWR)
        self.input = b""
        self.wake, wake = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)

    # ---- the rate ----

    def allowed(self, way, n, now):
        if not self.rate:
            return n, None
        credit, since = self.credit[way]
        credit = min(credit + (now - since) * self.rate, max(self.rate / 50, 2048))
        self.credit[way] = (credit, now)
        if credit >= min(n, 1024):
            return min(n, int(credit)), None
        return 0, now + (min(n, 1024) - credit) / self.rate

    def spend(self, way, n):
        if self.rate:
            credit, since = self.credit[way]
            self.credit[way] = (credit - n, since)

    # ---- commands ----

    def plan(self, which, act):
        numbers = len(self.connections) + len(self.refused)
        if which == "all":
            for c in self.connections:
                act(c)
            self.planned.append((None, act))
        elif which == "next":
            self.planned.append((numbers + 1, act))
        else:
            there = [c for c in self.connections if c.number == int(which)]
            if there:
                act(there[0])
            elif int(which) > numbers:
                self.planned.append((int(which), act))

    def command(self, words):
        verb, rest = words[0], words[1:]
        if verb == "cut" and rest[1] == "now":
            how = {"fin": "fin", "rst": "rst"}[rest[2]]
            self.plan(rest[0], lambda c: c.cut(how))
        elif verb == "cut":
            which, direction, position, how = rest
            position = Trouble.position(position)
            how = {"fin": "fin", "rst": "rst"}[how]
            self.plan(which, lambda c: c.ways[direction].troubles.append(
                Trouble(position, lambda way: c.cut(how))))
        elif verb == "stall":
            which, direction, position, seconds = rest
            position = Trouble.position(position)
            span = 1e9 if seconds == "ever" else float(seconds)

            def stall(way):
                way.stalled_until = time.monotonic() + span
            self.plan(which, lambda c: c.ways[direction].troubles.append(Trouble(position, stall)))
        elif verb == "go":
            for c in self.connections:
                for way in c.ways.values():
                    way.stalled_until = 0
        elif verb == "delay":
            self.delay = float(rest[0]) / 1000
        elif verb == "rate":
            self.rate = int(rest[0])
        elif verb == "buffer":
            self.buffer = int(rest[0])
            if self.buffer < 1 << 20:
                self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
                self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.buffer)
        elif verb == "refuse":
            self.refuse = int(rest[0])
        elif verb == "stats":
            self.write_stats()
        elif verb == "quit":
            self.quit = True
        else:
            raise ValueError(verb)

    def read_commands(self):
        self.input += os.read(self.ctl, 65536)
        while b"\n" in self.input:
            line, _, self.input = self.input.partition(b"\n")
            try:
                self.command(line.decode().split())
                answer = "ok"
            except (ValueError, KeyError, IndexError) as e:
                answer = "no: %s: %r" % (line.decode(), e)
            os.write(self.ack, answer.encode() + b"\n")

    def write_stats(self):
        lines = [(c.number, c.line()) for c in self.connections]
        lines += [(n, "%d refused up 0 down 0 up-records down-records" % n) for n in self.refused]
        with open(self.name + ".stats.new", "w") as f:
            f.write("".join(line + "\n" for _, line in sorted(lines)))
        os.rename(self.name + ".stats.new", self.name + ".stats")

    # ---- the loop ----

    def accept(self):
        client, _ = self.listener.accept()
        number = len(self.connections) + len(self.refused) + 1
        try:
            if self.refuse:
                self.refuse -= 1
                raise OSError
            c = Connection(self, number, client)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            self.refused.append(number)
            return
        self.connections.append(c)
        for which, act in self.planned:
            if which in (None, number):
                act(c)
        self.planned = [(w, a) for w, a in self.planned if w != number]

    def drain(self, s):
        try:
            if s.recv(PIECE):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.drains.remove(s)
        s.close()

    def turn(self, timeout):
        with selectors.DefaultSelector() as selector:
            for fd in (self.listener, self.ctl, self.wake):
                selector.register(fd, selectors.EVENT_READ)
            for s in self.drains:
                selector.register(s, selectors.EVENT_READ, "drain")
            for c in self.connections:
                for s, events in c.interest():
                    selector.register(s, events, c)
            ready = {}
            for key, events in selector.select(timeout):
                if key.fileobj is self.listener:
                    self.accept()
                elif key.fileobj == self.ctl:
                    self.read_commands()
                elif key.fileobj == self.wake:
                    for number in os.read(self.wake, 64):
                        if number == signal.SIGUSR1:
                            self.write_stats()
                        else:
                            self.quit = True
                elif key.data == "drain":
                    self.drain(key.fileobj)
                elif events & selectors.EVENT_READ:
                    ready.setdefault(key.data.number, []).append(key.fileobj)
        return ready

    def run(self):
        parent, timeout = os.getppid(), 1.0
        while not self.quit and os.getppid() == parent:
            ready = self.turn(timeout)
            now = time.monotonic()
            timeout = 1.0
            for c in self.connections:
                if c.state == "open":
                    again = c.step(ready.get(c.number, []), now)
                    if again is not None:
                        timeout = min(timeout, max(again - now, 0))
        for c in self.connections:
            if c.state == "open":
                c.close("closed")
        self.write_stats()


def main():
    name, relay = sys.argv[1], Relay(sys.argv[1], int(sys.argv[2]))
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    for words in sys.argv[3:]:
        relay.command(words.split())
    with open(name + ".port.new", "w") as f:
        f.write("%d\n" % relay.listener.getsockname()[1])
    os.rename(name + ".port.new", name + ".port")
    relay.run()


if __name__ == "__main__":
    main()
