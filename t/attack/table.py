#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""The table of attacks in t/README.md.

    table.py check          whether it has every case once, and names tests that exist
    table.py units BUILD    the unit tests that it names, as files below BUILD
    table.py run BUILD JOBS runs all that it names (prove), and prints for each case whether it held
    table.py tap BUILD TEST runs a test as prove's --exec, and keeps its output in BUILD/t/attack/NAME.tap
With CASES in the environment, "R3 P1 S" say, units and run take those cases alone, or all of a letter."""
import os
import re
import subprocess
import sys

T = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CASES = ["%s%d" % (letter, n) for letter, most in (("T", 9), ("M", 7), ("P", 7), ("R", 8), ("J", 5), ("C", 3), ("X", 5), ("K", 4), ("H", 5), ("S", 3),
                                                   ("A", 2), ("G", 2)) for n in range(1, most + 1)]
LIMIT_S = "600"


class Row:
    def __init__(self, line):
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        assert len(cells) == 3, line
        self.case, _, self.what = cells[0].partition(" ")
        self.beside = cells[2]
        # (file, part of a title)
        self.tests = [tuple(s.strip() for s in (t.split(":", 1) + [""])[:2]) for t in cells[1].split(";")] if cells[1] != "-" else []


def rows():
    with open(T + "/README.md", encoding="utf-8") as f:
        return [Row(line) for line in f if re.match(r"\| [A-Z]\d ", line)]


def chosen():
    words = os.environ.get("CASES", "").split()
    return [r for r in rows() if not words or r.case in words or r.case[0] in words]


def source(name):
    return T + "/unit/test_" + name[5:] + ".c" if name.startswith("unit/") else T + "/" + name + ".t"


def wrong(table):
    names = [r.case for r in table]
    yield from ("%s is missing" % c for c in CASES if c not in names)
    yield from ("%s is no case, or there twice" % c for c in names if c not in CASES or names.count(c) > 1)
    for row in table:
        if not row.tests and not row.beside:
            yield "%s: neither a test nor a reason" % row.case
        for name, title in row.tests:
            if not os.path.exists(source(name)):
                yield "%s: there is no %s" % (row.case, name)
                continue
            with open(source(name), encoding="utf-8") as f:
                if title and title not in f.read():
                    yield "%s: %s has no test \"%s\"" % (row.case, name, title)


def files(table):
    """Each once: scripts that take long first."""
    return sorted({name for row in table for name, _ in row.tests}, key=lambda n: (n.startswith("unit/"), "9001" not in n, n))


def executable(build, name):
    return "%s/t/%s.t" % (build, name) if name.startswith("unit/") else source(name)


def tap_of(build, name):
    return "%s/t/attack/%s.tap" % (build, name.replace("/", "-"))


def name_of(test):
    base = os.path.basename(test)[:-2]
    return "unit/" + base if os.path.basename(os.path.dirname(test)) == "unit" else base


def tap(build, test):
    os.makedirs(build + "/t/attack", exist_ok=True)
    done = subprocess.run(["timeout", "--kill-after=10", LIMIT_S, test], stdout=subprocess.PIPE, check=False)
    with open(tap_of(build, name_of(test)), "wb") as f:
        f.write(done.stdout + b"# status %d\n" % done.returncode)
    sys.stdout.buffer.write(done.stdout)
    return done.returncode


def results(build, name):
    """[(title, "ok", "not ok" or why it was skipped)], and whether the whole ended well."""
    try:
        with open(tap_of(build, name), encoding="utf-8", errors="replace") as f:
            text = f.read()
    except OSError:
        return [], "was not run"
    found = []
    for good, title, why in re.findall(r"^(ok|not ok) \d+ *-? *(.*?)(?: # (?:SKIP|skip) *(.*))?$", text, re.M):
        found.append((title, "skipped: " + why if why or "# SKIP" in title or "# skip" in title else good))
    whole = re.search(r"^1\.\.0 *# *SKIP *(.*)$", text, re.M)
    if whole:
        return [], "skipped: " + whole.group(1)
    return found, None if "\n# status 0\n" in text else "failed"


def verdict(build, row):
    """"held", or what was not, or why it was not run."""
    if not row.tests:
        return "not run", row.beside
    skipped = []
    for name, title in row.tests:
        found, state = results(build, name)
        mine = [r for r in found if title in r[0]]
        if any(r[1] == "not ok" for r in mine) or (state == "failed" and (not title or not mine)):
            return "BROKEN", "%s: %s" % (name, next((r[0] for r in mine if r[1] == "not ok"), state))
        if not mine:
            skipped.append("%s %s" % (name, state or "has no result for \"%s\"" % title))
        skipped += ["%s: %s %s" % (name, r[0], r[1]) for r in mine if r[1].startswith("skipped")]
    return ("not run", skipped[0]) if skipped else ("held", "")


def run(build, jobs):
    table = chosen()
    for name in files(table):
        if os.path.exists(tap_of(build, name)):
            os.unlink(tap_of(build, name))
    subprocess.run(["prove", "-j" + jobs, "--timer", "--exec", "%s %s tap %s" % (sys.executable, os.path.abspath(__file__), build),
                    *[executable(build, n) for n in files(table)]], check=False)
    counts = {"held": 0, "BROKEN": 0, "not run": 0}
    due = 0
    for row in table:
        state, why = verdict(build, row)
        counts[state] += 1
        due += state == "BROKEN" or (state == "not run" and bool(row.tests))
        print("%-3s %-52s %s%s" % (row.case, row.what, state, ": " + why if why else ""))
    print("%d cases held, %d BROKEN, %d not run" % tuple(counts.values()))
    return 1 if due else 0


def main():
    what, *args = sys.argv[1:]
    if what == "check":
        faults = list(wrong(rows()))
        print("\n".join(faults))
        return 1 if faults else 0
    if what == "units":
        print("\n".join(executable(args[0], n) for n in files(chosen()) if n.startswith("unit/")))
        return 0
    if what == "tap":
        return tap(*args)
    return run(*args)


sys.exit(main())
