# SPDX-License-Identifier: ISC
"""Changes bytes of a certificate and has its CA sign that: twist.py CERT CA-KEY FROM TO, in hex and of one length. For
what no tool puts into a name."""
import base64
import subprocess
import sys


def element(der, at):
    """Where the element at that place, and its content, begin and end."""
    size = der[at + 1]
    head = 2
    if size & 0x80:
        head += size & 0x7F
        size = int.from_bytes(der[at + 2 : at + head], "big")
    return at, at + head, at + head + size


def wrap(tag, content):
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    size = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


cert, key, old, new = sys.argv[1:]
old, new = bytes.fromhex(old), bytes.fromhex(new)
with open(cert) as f:
    der = base64.b64decode("".join(line for line in f if not line.startswith("-----")))
_, inside, _ = element(der, 0)
begin, _, end = element(der, inside)
tbs = der[begin:end]
if len(old) != len(new) or tbs.count(old) != 1:
    sys.exit(f"{old.hex()} is there {tbs.count(old)} times; put {new.hex()} for it")
tbs = tbs.replace(old, new)
_, _, after = element(der, end)
signature = subprocess.run(
    ["openssl", "dgst", "-sha256", "-sign", key], input=tbs, stdout=subprocess.PIPE, check=True
).stdout
whole = wrap(0x30, tbs + der[end:after] + wrap(0x03, b"\0" + signature))
text = base64.encodebytes(whole).decode()
print(f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----")
