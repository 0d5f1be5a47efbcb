#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Many connections at once that mean no good, or only want too much.

    siege.py garbage PORT COUNT FROM      COUNT connections that send what is no TLS, AT_ONCE at a time
    siege.py slow PORT COUNT FROM FILE    COUNT connections that send a byte of a handshake a second, each begun
                                          anew when it is ended, until FILE exists
    siege.py hold PORT COUNT CERTIFICATE KEY FILE
                                          COUNT sessions, authorised and greeted, held until FILE exists
    siege.py insist PORT CERTIFICATE KEY  one session, which goes on sending whatever it is told

FROM: they come from so many addresses, 127.9.0.1 and on. The last line says how it went: garbage, how many were
connected; insist, what it was told; slow, how many were ended by the server; hold, before it waits, what each was told: WELCOME, or
REFUSED with reason."""
import os
import selectors
import socket
import struct
import sys
import time

import rawclient

AT_ONCE = 64
LIMIT = 120  # seconds, in any case


def connect(port, n, addresses):
    s = socket.socket()
    s.setblocking(False)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
    n %= addresses
    s.bind((f"127.9.{n // 250}.{n % 250 + 1}", 0))
    s.connect_ex(("127.0.0.1", port))
    return s


def garbage(port, count, addresses):
    """Each is over when the server has closed it."""
    events = selectors.DefaultSelector()
    begun = connected = 0
    end = time.monotonic() + LIMIT
    while (begun < count or events.get_map()) and time.monotonic() < end:
        while begun < count and len(events.get_map()) < AT_ONCE:
            events.register(connect(port, begun, addresses), selectors.EVENT_WRITE)
            begun += 1
        for key, mask in events.select(1):
            s = key.fileobj
            try:
                if mask & selectors.EVENT_WRITE:
                    s.send(b"SSH-2.0-x\r\n" + os.urandom(64))
                    connected += 1
                    events.modify(s, selectors.EVENT_READ)
                    continue
                if s.recv(4096):
                    continue
            except OSError:
                pass
            events.unregister(s)
            s.close()
    print(connected)


def slow(port, count, addresses, file):
    hello = bytes.fromhex("1603010200010001fc0303") + bytes(500)
    held = {}  # its number: socket, and how much it said
    ended = begun = 0
    end = time.monotonic() + LIMIT
    while not os.path.exists(file) and time.monotonic() < end:
        for n in range(count):
            if n not in held:
                held[n] = [connect(port, begun, addresses), 0]
                begun += 1
            s, said = held[n]
            try:
                s.send(hello[said:said + 1])
                held[n][1] += 1
                if s.recv(4096):
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            s.close()
            del held[n]
            ended += 1
        time.sleep(1)
    print(ended)


def hold(port, count, certificate, key, file):
    held = []
    for _ in range(count):
        held.append(rawclient.Server(port, certificate, key))
        name, body = held[-1].frame()
        if name == "WELCOME":
            held[-1].socket.sendall(rawclient.message(["HELLO", "agent=x"]))
        else:
            (n,) = struct.unpack_from(">H", body, 6)
            name += " " + body[10 + n:].decode()
        print(name, flush=True)
    end = time.monotonic() + LIMIT
    while not os.path.exists(file) and time.monotonic() < end:
        time.sleep(0.05)


def insist(port, certificate, key):
    server = rawclient.Server(port, certificate, key)
    print(server.frame()[0])
    end = time.monotonic() + LIMIT
    try:
        while time.monotonic() < end:
            server.socket.sendall(rawclient.message(["PING"]) * 100)
            time.sleep(0.05)
    except OSError:
        pass


def main():
    work = {"garbage": garbage, "slow": slow, "hold": hold, "insist": insist}[sys.argv[1]]
    work(*(int(a) if a.isdigit() else a for a in sys.argv[2:]))


if __name__ == "__main__":
    main()
