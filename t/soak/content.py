# SPDX-License-Identifier: ISC
"""Contents of files, made from a seed: what they are can be said in a line, and made again."""
import hashlib
import os
import random

LEAF = 16 << 10
CHUNK = 1 << 20
LARGEST = 24 << 20

POOL = b""


def prepare(seed):
    """All contents are stretches of one pool of random bytes, with changes."""
    global POOL
    POOL = random.Random(f"{seed}/pool").randbytes(LARGEST + (8 << 20))


def tree_root(data):
    """The root as BEP 52 defines it (PROTOCOL.md, section 3), hashed by other code than consign's."""
    if not data:
        return bytes(32).hex()
    view = memoryview(data)
    level = [hashlib.sha256(view[at : at + LEAF]).digest() for at in range(0, len(data), LEAF)]
    while len(level) & (len(level) - 1):
        level.append(bytes(32))
    while len(level) > 1:
        level = [hashlib.sha256(a + b).digest() for a, b in zip(level[::2], level[1::2])]
    return level[0].hex()


class Content:
    """One version of a file. Its name is how it is made: @OFFSET in the pool, +SIZE, and the changes."""

    def __init__(self, offset, size, changes, mtime_ns):
        self.offset, self.size, self.changes, self.mtime_ns = offset, size, changes, mtime_ns
        data = self.data()
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.root = tree_root(data)

    def data(self):
        data = bytearray(POOL[self.offset : self.offset + self.size])
        for at, length, source in self.changes:
            data[at : at + length] = POOL[source : source + length]
        return bytes(data[: self.size])

    def write(self, file):
        with open(file, "wb") as f:
            f.write(self.data())
        os.utime(file, ns=(self.mtime_ns, self.mtime_ns))

    def __str__(self):
        changes = "".join(f" {length}@{source}>{at}" for at, length, source in self.changes)
        return f"@{self.offset}+{self.size}{changes}"


def draw_size(rng, largest):
    kind = rng.random()
    if kind < 0.05:
        size = 0
    elif kind < 0.45:
        size = rng.randrange(1, 64 << 10)
    elif kind < 0.65:
        size = rng.choice((LEAF, 2 * LEAF, CHUNK, 2 * CHUNK, 5 * CHUNK)) + rng.randrange(-1, 2)
    elif kind < 0.93:
        size = rng.randrange(64 << 10, 6 << 20)
    else:
        size = rng.randrange(6 << 20, LARGEST)
    return min(size, largest)


def draw_time(rng):
    return rng.randrange(1_000_000_000, 1_700_000_000) * 1_000_000_000 + rng.randrange(1_000_000_000)


def draw(rng, largest=LARGEST):
    size = draw_size(rng, largest)
    return Content(rng.randrange(len(POOL) - size), size, (), draw_time(rng))


def changed(old, rng):
    """A later version: some stretches overwritten, sometimes cut or grown."""
    size = old.size
    if rng.random() < 0.3:
        size = max(0, min(LARGEST, size + rng.randrange(-CHUNK, CHUNK)))
    changes = list(old.changes[-4:])
    for _ in range(rng.randrange(1, 4)):
        length = min(size, rng.randrange(1, 100_000))
        if length:
            changes.append((rng.randrange(size - length + 1), length, rng.randrange(len(POOL) - length)))
    return Content(min(old.offset, len(POOL) - size), size, tuple(changes), draw_time(rng))
