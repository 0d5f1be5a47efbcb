#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""A peer that is not ours: openssl's client, and what it lacks to be let in after a resumed handshake.

    peer.py KEY [lie=FIELD] COMMAND...

runs COMMAND, an `openssl s_client` that prints the keying material (-keymatexport), passes its output on, and answers
the server: to CHALLENGE (PROTOCOL.md, 1) by the PROOF that the key in the file KEY makes; to the verdict by a request
before HELLO, which makes the server end the connection. FIELD of the proof can be another than it should: nonce,
exporter, server, context (a CertificateVerify of TLS 1.3), scheme, signature, key (of another client, made here), long
(more than there is room for), silent (none is sent), twice."""
import hashlib
import os
import re
import struct
import subprocess
import sys
import tempfile

CHALLENGE = re.compile(rb"\x00\x00\x00\x21\x05(.{32})", re.DOTALL)
EXPORTER = re.compile(rb"Keying material: ([0-9A-F]{64})")
SERVER = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
VERDICT = re.compile(rb"\x00\x00[\x00-\x07].[\x01\x02]", re.DOTALL)


def openssl(*words, data=b""):
    return subprocess.run(["openssl", *words], input=data, stdout=subprocess.PIPE, check=True).stdout


def other_key():
    file = tempfile.NamedTemporaryFile(delete=False, suffix=".key")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", file.name)
    return file.name


def frame(kind, body):
    return struct.pack(">IB", len(body) + 1, kind) + body


def proof(key, lie, nonce, exporter, server):
    spki = openssl("pkey", "-pubin", "-outform", "DER", data=openssl("x509", "-pubkey", "-noout", data=server))
    parts = {"nonce": nonce, "exporter": exporter, "server": hashlib.sha256(spki).digest()}
    if lie in parts:
        parts[lie] = bytes(32)
    context = b"TLS 1.3, client CertificateVerify" if lie == "context" else b"consign/1, client of a resumed session"
    text = b" " * 64 + context + b"\0" + hashlib.sha256(b"".join(parts.values())).digest()
    if lie == "key":
        key = other_key()
    signature = openssl("dgst", "-sha256", "-sign", key, data=text)
    if lie == "signature":
        signature = signature[:-1] + bytes([signature[-1] ^ 1])
    if lie == "long":
        signature += bytes(3000)
    return struct.pack(">HH", 0x0203 if lie == "scheme" else 0x0403, len(signature)) + signature


def main():
    words = sys.argv[1:]
    key, lie = words.pop(0), None
    if words[0].startswith("lie="):
        lie = words.pop(0)[4:]
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    seen, proven, judged = b"", False, False
    while True:
        piece = os.read(child.stdout.fileno(), 65536)
        if not piece:
            break
        seen += piece
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        challenge, exporter = CHALLENGE.search(seen), EXPORTER.search(seen)
        try:
            if challenge and exporter and not proven:
                proven = True
                sent = proof(key, lie, challenge[1], bytes.fromhex(exporter[1].decode()), SERVER.search(seen)[0])
                if lie != "silent":
                    child.stdin.write(frame(6, sent) * (2 if lie == "twice" else 1))
                    child.stdin.flush()
                seen = seen[challenge.end():]
            if not judged and VERDICT.search(seen):
                judged = True
                child.stdin.write(frame(16, b""))
                child.stdin.flush()
        except BrokenPipeError:
            pass
    sys.exit(child.wait())


if __name__ == "__main__":
    main()
