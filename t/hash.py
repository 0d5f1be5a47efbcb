#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""What another implementation of BEP 52 (libtorrent 2) says of FILE: hash.py FILE [CHUNK]
prints length and root; with CHUNK, the size of a piece, also the piece layer, a hash a line."""
import os
import sys

import libtorrent

path = os.path.abspath(sys.argv[1])
piece = int(sys.argv[2]) if len(sys.argv) > 2 else 1 << 20
files = libtorrent.file_storage()
libtorrent.add_files(files, path)
torrent = libtorrent.create_torrent(files, piece, libtorrent.create_torrent.v2_only)
libtorrent.set_piece_hashes(torrent, os.path.dirname(path))
made = torrent.generate()
(entry,) = made[b"info"][b"file tree"].values()
root = entry[b""][b"pieces root"]
assert made[b"info"][b"piece length"] == piece
print(entry[b""][b"length"], root.hex())
if len(sys.argv) > 2:
    layer = made[b"piece layers"][root]
    for at in range(0, len(layer), 32):
        print(layer[at : at + 32].hex())
