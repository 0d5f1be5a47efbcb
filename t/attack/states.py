#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Every message in every state of a server.

    states.py PORT CERTIFICATE KEY

/large is there, of two chunks or more, with its hashes. What each state takes is the table below, as PROTOCOL.md says it, section 4;
everything else has to be refused with PROTO: between requests and by a sender the connection ends with ERROR, a receiver ends
the transfer by DONE. After each try of the latter kind, and after what may be ignored, the connection goes on."""
import hashlib

from peer import CHUNK, IGNORABLE, MESSAGES, Checks, chunk, commit, encode, frame_of, main, offer

UNKNOWN = (0, 5, 14, 64, 126, 127, 128, 200, 255)
REQUESTS = ("PING STAT LIST MKDIR REMOVE RENAME PENDING GET SMALL FETCH WALK NEXT STATS ATTRIBUTES SYMLINK "
            "META META_GET").split()
TRANSFERS = ("PUT", "JOIN")
ENDS = ("ABORT", "ABORT 9", "COMMIT", "FINISH")    # of a sender
CONTENT = hashlib.shake_128(b"states").digest(2 * CHUNK)
ID = 7

UP = encode("PUT", id=ID, flags=5, path="/up")
ALL = [UP, offer(CONTENT, ID), chunk(CONTENT, 0, ID), chunk(CONTENT, 1, ID)]
RECEIVING = ("ABORT", "ABORT 9", "PROGRESS", "ERROR", "NEW")

# name: (the frames that lead there, what has to come before it is reached, whose it is, what is taken there)
STATES = {
    "before HELLO": ([], None, "connection", ("ERROR",)),
    "between requests": ([], None, "connection", (*REQUESTS, *TRANSFERS, "ERROR", "NEW")),
    "after PUT": ([UP], None, "receiver", (*RECEIVING, "OFFER right")),
    "after JOIN": ([encode("JOIN", id=ID, path="/up")], None, "receiver", RECEIVING),
    "after OFFER": (ALL[:2], "READY", "receiver", (*RECEIVING, "HOLE right")),
    "inside a chunk": ([*ALL[:2], encode("DATA", id=ID, bytes=CONTENT[:CHUNK])], "READY", "receiver", RECEIVING),
    "after all chunks": (ALL, "READY", "receiver", RECEIVING),
    "in a shared upload": ([encode("PUT", id=ID, flags=21, path="/up"), offer(CONTENT, ID)], "READY", "receiver",
                           (*RECEIVING, "HOLE right", "SKIP right")),
    "after DONE with an error": ([encode("PUT", id=ID, flags=5, path="/../up")], "DONE", "over", ("ERROR",)),
    "after GET": ([encode("GET", id=ID, path="/large")], "OFFER", "sender", ("READY", "PROGRESS", "DONE 9", "ERROR", "NEW")),
    "while chunks are asked for": ([encode("GET", id=ID, flags=8, path="/large"), encode("READY", id=ID)], "OFFER", "sender",
                                   ("PROGRESS", "DONE 9", "ERROR", "NEW", "WANT", "WANT right")),
    "after COMMIT": ([*ALL, commit(CONTENT, ID)], "DONE", "connection", (*REQUESTS, *TRANSFERS, "ERROR", "NEW")),
}
# Where it is refused for what it says.
OTHERWISE = {("after JOIN", "OFFER right"): "BUSY", ("inside a chunk", "CHUNK"): "CORRUPT"}


def tries():
    """(name, type, frame): each message, with a right id and all else empty; some that are closer to right; unknown types."""
    for name, (number, fields) in MESSAGES.items():
        given = {"id": ID} if any(f == "id" for f, _, _ in fields) else {}
        yield name, number, encode(name, **given)
    for name, fields in (("HOLE right", {"count": 1}), ("SKIP right", {"count": 1}), ("KEEP of it", {"count": 1}),
                         ("COPY of it", {"count": 1}), ("DATA out of place", {"index": 1, "offset": CHUNK, "bytes": b"x" * CHUNK}),
                         ("CHUNK out of place", {"index": 9}), ("WANT right", {"first": 1, "count": 1}),
                         ("WANT too much", {"first": 1, "count": 9}), ("HAVE of it", {"hashes": bytes(32)}),
                         ("OLD of it", {"hashes": bytes(32)}), ("DONE 9", {"status": 9, "reason": "nothing"}),
                         ("ABORT 9", {"status": 9, "reason": "nothing"})):
        yield name, MESSAGES[name.split()[0]][0], encode(name.split()[0], id=ID, **fields)
    yield "OFFER right", MESSAGES["OFFER"][0], offer(CONTENT, ID)
    for number in UNKNOWN:
        yield "type %d" % number, number, frame_of(number, b"?")


def enter(site, state):
    before, until, _, _ = STATES[state]
    peer = site.peer(hello=state != "before HELLO")
    # What an earlier try has left: its process may hold it for a moment.
    while before and peer.request("REMOVE", flags=2, path="/up").status not in ("OK", "NOENT"):
        pass
    peer.send(*before)
    if until:
        peer.until(until)
    return peer


def ended(peer, frame, ours):
    """Whether the connection ended, after ERROR PROTO unless the end was ours."""
    peer.send(frame)
    said = [f for f in peer.rest() if f.name == "ERROR"]
    return not said if ours else len(said) == 1 and said[0].status == "PROTO"


def goes_on(peer, name, who):
    """After what is taken: what runs is ended from this side, and then a request is answered."""
    if who == "receiver":
        if not name.startswith("ABORT"):
            peer.send(encode("ABORT", id=ID, status=9))
        if peer.until("DONE")[-1] is None:
            return False
    if who == "sender":
        if not name.startswith("DONE"):
            peer.send(encode("DONE", id=ID, status=9))
        if peer.until("ABORT", "COMMIT")[-1] is None:
            return False
    return peer.alive()


def taken(peer, state, name, frame):
    who = STATES[state][2]
    if name == "ERROR":
        return ended(peer, frame, True)
    peer.send(frame)
    if who == "connection" and name in TRANSFERS:
        who = "receiver"
    elif who == "connection" and name in REQUESTS and peer.until("DONE", "ERROR")[-1] is None:
        return False
    return goes_on(peer, name, who)


def refused(peer, state, name, frame):
    who = STATES[state][2]
    if who in ("connection", "sender"):
        return ended(peer, frame, False)
    if who == "over":    # dropped until ABORT, or what says that no more comes
        return peer.send(frame, encode("ABORT", id=ID) if name not in ENDS else b"") and peer.alive()
    peer.send(frame)
    said = peer.until("DONE", "ERROR")[-1]
    if said is None or said.name != "DONE" or said.status != OTHERWISE.get((state, name), "PROTO"):
        print(said)
        return False
    if name not in ENDS or state in ("after PUT", "after JOIN"):
        peer.send(encode("ABORT", id=ID))
    return peer.alive()


def run(site, _):
    checks = Checks()
    for state, (_, _, who, takes) in STATES.items():
        for name, number, frame in tries():
            new = number >= IGNORABLE
            peer = enter(site, state)
            peer.socket.settimeout(15)
            good = taken if name in takes or (new and "NEW" in takes) else refused
            try:
                right = good(peer, state, name, frame)
            except TimeoutError:
                right = "hangs"
            checks.that(right is True, "%s (%d) %s, to be %s" % (name, number, state, good.__name__), right)
            peer.close()
    return checks.done(600)


main(run)
