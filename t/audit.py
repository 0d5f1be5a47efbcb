#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What somebody who may write to an audit log, and has no key, can make of it.

audit.py FILE N [HOW]: prints FILE with line N changed ("alice" becomes "malory") and all lines from there on
chained anew. HOW: keep-heads, heads stay as they were (else they say the new hashes); drop-heads, without them;
insert, a line is put in before line N, and nothing chained anew; other, as a log of another name without heads."""
import hashlib
import re
import sys

name, at = sys.argv[1], int(sys.argv[2])
how = sys.argv[3] if len(sys.argv) > 3 else ""
lines = open(name, "rb").read().splitlines(True)
out = lines[:at - 1]


def sha(line):
    return hashlib.sha256(line).hexdigest().encode()


if how == "insert":
    line = re.sub(rb'"prev":"[0-9a-f]*"', b'"prev":"' + sha(lines[at - 2]) + b'"', lines[at - 1])
    out += [line.replace(b'"status":"', b'"forged":"yes","status":"').replace(b'"event":"', b'"event":"x-')]
    out += lines[at - 1:]
else:
    for i, line in enumerate(lines[at - 1:]):
        if how in ("drop-heads", "other") and b'"event":"head"' in line:
            continue
        prev = sha(out[-1]) if out else b"0" * 64
        seq = b"%d" % (len(out) + 1)
        line = re.sub(rb'"seq":\d+,"prev":"[0-9a-f]*"', b'"seq":' + seq + b',"prev":"' + prev + b'"', line)
        if i == 0:
            line = line.replace(b"alice", b"malory")
            line = re.sub(rb'\}\n$', b',"x":"changed"}\n', line)
        if how == "other":
            line = re.sub(rb'"log":"[0-9a-f]{32}"', b'"log":"' + b"0" * 32 + b'"', line)
        if b'"event":"head"' in line and how != "keep-heads":
            hseq = int(re.search(rb'"head_seq":"(\d+)"', line).group(1))
            if hseq >= at:
                line = re.sub(rb'"head_hash":"[0-9a-f]*"', b'"head_hash":"' + sha(out[hseq - 1]) + b'"', line)
        out.append(line)
sys.stdout.buffer.write(b"".join(out))
