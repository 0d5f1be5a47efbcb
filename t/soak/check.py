# SPDX-License-Identifier: ISC
"""What is compared while nothing runs: folders, unfinished uploads, audit log, processes."""
import collections
import hashlib
import json
import os
import re
import stat
import subprocess
import time

import suite as site
from content import Content
from model import FOLDER, Divergence
from steps import AREAS, parse, part_id

RSS_GROWTH_KIB = 16 << 10
PART_FILE = re.compile(r"([0-9a-f]{32})\.(data|journal)\Z")


def identity(file, known=None):
    """(size, sha256, mtime) of a file, FOLDER, or None. known: what was hashed before, by stat."""
    try:
        st = os.lstat(file)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(st.st_mode):
        return FOLDER
    if not stat.S_ISREG(st.st_mode):
        return f"of mode {st.st_mode:o}"
    key = (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
    if known is not None and key in known:
        return known[key]
    digest = hashlib.sha256()
    with open(file, "rb") as f:
        while data := f.read(1 << 20):
            digest.update(data)
    found = (st.st_size, digest.hexdigest(), st.st_mtime_ns)
    if known is not None:
        known[key] = found
    return found


def matches(found, value):
    """Whether what stands in a folder is that value."""
    if isinstance(value, Content):
        return found == (value.size, value.sha256, value.mtime_ns)
    return found == value


def walk(top, known=None):
    """Relative path -> identity, of all below top but a service folder."""
    found = {}
    for folder, names, files in os.walk(top):
        if ".consign" in names:
            names.remove(".consign")
        for name in names + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, top)] = identity(path, known)
    return found


class Checker:
    def __init__(self, server, model, soak):
        self.server, self.model, self.soak = server, model, soak
        self.known = {}
        self.audit_at = 0
        self.chains = []  # the last numbers of the scribes that may still write
        self.records = collections.Counter()
        self.acknowledged = collections.Counter()
        self.first = {}  # pid -> (descriptors, KiB) of those that stay, when first seen at rest
        self.peaks = collections.Counter()
        # AddressSanitizer keeps what was freed.
        self.growth = RSS_GROWTH_KIB * (32 if "sanitize" in os.environ.get("BUILD", "") else 1)

    def all(self, thorough):
        # Clients are gone; their sessions have to follow.
        left = self.server.quiet(60)
        if left is not None:
            raise Divergence(f"processes at rest are not master, keeper, signer, usher and scribe: {self.describe(left)}")
        self.model.settle()
        if thorough:
            self.known.clear()
        self.folders()
        self.model.check_groups()
        self.parts()
        self.audit()
        self.processes()

    def describe(self, found):
        lines = []
        for pid, (state, parent) in found.items():
            try:
                with open(f"/proc/{pid}/wchan", encoding="ascii") as f:
                    where = f.read()
            except OSError:
                where = "?"
            lines.append(f"{pid} {self.server.role(pid)} {state} in {where}, parent {parent}")
        return "; ".join(lines) or "none"

    def folders(self):
        for root in sorted({area[2] for area in AREAS}):
            top = f"files/{root}"
            if not os.path.isdir(top):
                continue
            found = {f"{root}/{path}": value for path, value in walk(top, self.known).items()}
            for path in set(found) | {p for p in self.model.cells if p.startswith(root + "/")}:
                self.model.found(path, found.get(path), matches)

    # -- unfinished uploads --

    def parts(self):
        for root in sorted({area[2] for area in AREAS}):
            top = f"files/{root}/.consign"
            names = sorted(os.listdir(top)) if os.path.isdir(top) else []
            if set(names) - {"parts", "trees"}:
                raise Divergence(f"{top} holds {names}")
            listed = sorted(os.listdir(top + "/parts")) if "parts" in names else []
            odd = [name for name in listed if not PART_FILE.match(name)]
            if odd:
                raise Divergence(f"{top}/parts holds {odd}")
            expected = {part_id(path): path for path in self.model.parts if path.startswith(root + "/")}
            for name in listed:
                # Data without a journal: a small file whose session was killed. It is swept later.
                if name[:32] not in expected and name[:32] + ".journal" in listed:
                    raise Divergence(f"{top}/parts/{name} is a part of no upload that was cut; "
                                     f"there may be {sorted(expected.values())}")
            left = {name[:32] for name in listed}
            for part, path in expected.items():
                if part not in left:
                    del self.model.parts[path]

    # -- audit log --

    def audit(self):
        with open("server.audit", "rb") as f:
            f.seek(self.audit_at)
            data = f.read()
        self.audit_at += len(data)
        if data and not data.endswith(b"\n"):
            raise Divergence(f"the audit log ends within a line: {data[-200:]!r}")
        for line in data.splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                raise Divergence(f"no JSON in the audit log: {line!r}") from None
            self.number(record)
            if record.get("status") == "OK":
                self.count(record)
        missing = {key: n for key, n in self.acknowledged.items() if self.records[key] < n}
        if missing:
            key, n = next(iter(missing.items()))
            raise Divergence(f"acknowledged {n} times and recorded {self.records[key]} times: {dict(key)}"
                             f" ({len(missing)} such)")
        for counter in (self.records, self.acknowledged):
            counter.clear()

    def number(self, record):
        """Each line has the number after the one before, whoever wrote it."""
        seq = record["seq"]
        if seq == 1:
            self.chains.append(1)
        elif seq - 1 in self.chains:
            self.chains[self.chains.index(seq - 1)] = seq
        else:
            raise Divergence(f"the audit log has no record before {record}")
        del self.chains[:-20]

    def count(self, record):
        key = {k: record[k] for k in ("event", "user", "path", "to") if k in record}
        if record["event"] in ("put", "get"):
            key["root"] = record.get("root")
        self.records[tuple(sorted(key.items()))] += 1

    # -- processes --

    def processes(self):
        """A keeper that was replaced is let go after a while."""
        until = time.monotonic() + 20
        while (wrong := self.processes_now()) and time.monotonic() < until:
            time.sleep(0.1)
        if wrong:
            raise Divergence(wrong)

    def processes_now(self):
        for pid, (state, _) in site.descendants(os.getpid()).items():
            role = self.server.role(pid)
            now = site.descriptors(pid), site.figure(pid, "VmRSS")
            self.peaks[role] = max(self.peaks[role], site.figure(pid, "VmHWM"))
            if state == "Z" or (role == "other" and site.SEES_ALL):
                return f"process {pid} ({role}, {state}) is too many"
            first = self.first.setdefault((pid, role), now)
            if now[0] > first[0] or now[1] > first[1] + self.growth:
                return (f"{role} {pid}: {now[0]} descriptors and {now[1]} KiB, were {first[0]} and {first[1]} KiB; "
                        f"{[os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')]}")
        return None

    # -- the end --

    def finish(self):
        """Every unfinished upload can be listed and discarded, and nothing is left then."""
        for area in AREAS:
            if not os.path.isdir(f"files/{area[2]}"):
                continue
            run = subprocess.run(["consign", "-c", "consign.conf", "--json", "ls", "--pending", f"{area[0]}:{area[1]}/"],
                                 capture_output=True, text=True, check=True, timeout=60)
            for part in parse(run.stdout):
                path = area[2] + part["path"][len(area[1]):]
                if part["active"]:
                    raise Divergence(f"a part is said to be in use, and nobody runs: {part}")
                if not part["path"].startswith(area[1] + "/") or path not in self.model.parts:
                    continue
                subprocess.run(["consign", "-c", "consign.conf", "rm", "--part", f"{area[0]}:{part['path']}"],
                               capture_output=True, timeout=60, check=False)
        self.server.quiet(30)
        for root in sorted({area[2] for area in AREAS}):
            top = f"files/{root}/.consign/parts"
            left = os.listdir(top) if os.path.isdir(top) else []
            # An upload that was killed before its part had a header is listed nowhere, nor is a small file.
            full = [name for name in left if name.endswith(".journal") and os.path.getsize(f"{top}/{name}") > 0]
            if full:
                raise Divergence(f"every part was discarded, and {top} holds {full}")
