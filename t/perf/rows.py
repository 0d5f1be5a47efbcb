# SPDX-License-Identifier: ISC
"""The rows of the table: what is moved, between whom, and what consign aims at beside each peer (at
least so many times its figure). A row is a function below; make perf ROWS="big small" runs some."""
import os
import random
import shutil
import time

import measure
import servers

CHUNK = 1 << 20
ROWS = {}
APART = []  # not among those that run unless they are named


def row(name, apart=False):
    def add(function):
        ROWS[name] = function
        if apart:
            APART.append(name)
        return function

    return add


def random_file(path, size):
    """Incompressible; made once."""
    if not os.path.exists(path):
        with open(path, "wb", buffering=0) as f:
            for at in range(0, size, CHUNK):
                f.write(os.urandom(min(CHUNK, size - at)))
    return path


def log_file(path, size):
    """Lines as a busy server's log has them; 32 MiB of them again and again, each time elsewhere in
    its chunks."""
    rnd = random.Random(1)
    hosts = [
        f"10.{rnd.randrange(256)}.{rnd.randrange(256)}.{rnd.randrange(256)}" for _ in range(400)
    ]
    pages = [
        f"/{rnd.choice(['api', 'img', 'static', 'user'])}/{rnd.randrange(10000)}"
        for _ in range(900)
    ]
    lines, length, at = [], 0, 1700000000.0
    while length < 32 * CHUNK + 12345:
        at += rnd.expovariate(40)
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(at))
        line = (
            f'{rnd.choice(hosts)} - - [{stamp}] "GET {rnd.choice(pages)} HTTP/1.1" '
            f"{rnd.choice((200, 200, 200, 200, 304, 404))} {rnd.randrange(60000)} "
            f'"-" "Mozilla/5.0" {rnd.random():.3f}\n'
        )
        lines.append(line)
        length += len(line)
    block = "".join(lines).encode()
    with open(path, "wb") as f:
        while f.tell() < size:
            f.write(block[: size - f.tell()])
    return path


def small_files(path, count, size):
    """count files, 100 in a folder; made once."""
    if os.path.exists(path):
        return path
    for i in range(count):
        if i % 100 == 0:
            os.makedirs(f"{path}/d{i // 100:04}")
        with open(f"{path}/d{i // 100:04}/file{i:06}", "wb", buffering=0) as f:
            f.write(os.urandom(size))
    return path


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def both_ways(bench, name, aims, *, size=0, files=0, kind="mem", link="local"):
    """A file of size bytes or a tree of so many files: up, then down what is there now; each peer
    in turn, round after round. aims: {peer: aim}, for both directions."""
    stage = bench.stage
    source = stage.path("here", kind, "source")
    there = stage.path("there", kind, name)
    back = stage.path("here", kind, "back")
    if files:
        small_files(source, files, 4096)
        works, amount, unit, fresh = ("put-tree", "get-tree"), files, "files/s", 8192 * files
    else:
        random_file(source, size)
        works, amount, unit, fresh = ("put", "get"), size, "MiB/s", size
    up, down = (bench.table(f"{name} {way}", amount, unit, aims) for way in ("up", "down"))
    common = {"link": link, "durable": kind == "disk", "fresh": fresh}
    for round_ in bench.rounds():
        for peer in bench.active(aims):
            if bench.measure(up, peer, works[0], round_, source, f"{kind}/{name}", **common):
                bench.check(up, peer, round_, source, there)
                if bench.measure(down, peer, works[1], round_, back, f"{kind}/{name}", **common):
                    bench.check(down, peer, round_, source, back)
            remove(back)
            remove(there)
    remove(source)
    bench.report(up)
    bench.report(down)


@row("ceilings")
def ceilings(bench):
    """What this machine can do, in parts: see ceiling.c."""
    here = bench.stage.path("here", "mem")
    source = random_file(f"{here}/source", bench.size)
    program = f"{bench.build}/t/perf/ceiling"
    table = bench.table("ceilings", bench.size, "MiB/s")
    parts = {
        "TLS": f"tls {bench.size}",
        "hash": f"hash {bench.size}",
        "copy": f"copy {source} {here}/copy",
        "pipe of all": f"pipe {source} {here}/copy",
    }
    for round_ in bench.rounds():
        for name, part in parts.items():
            measure.warm(here, bench.size)
            table.add(name, round_, measure.run(bench.stage, measure.Job(f"{program} {part}")))
            remove(f"{here}/copy")
    remove(source)
    bench.report(table)


BIG = {
    "consign": None,
    "ceiling": 0.85,
    "curl": 1.0,
    "gridftp": 1.1,
    "gridftp-p4": 1.1,
    "scp": 2.0,
    "sftp": 2.0,
    "rsync-ssh": 2.0,
    "rsync-tls": None,
    "xrdcp": None,
    "xrdcp-cksum": 2.2,
    "rclone": None,
}


@row("big")
def big(bench):
    """One incompressible file, in memory."""
    both_ways(bench, "big", BIG, size=bench.size)


@row("big-disk")
def big_disk(bench):
    """One incompressible file, from disk to disk, and on it when the time ends."""
    aims = {peer: aim and 1.0 for peer, aim in BIG.items()}
    both_ways(bench, "big-disk", aims, size=bench.size, kind="disk")


@row("small")
def small(bench):
    """Many files of 4 KiB, in memory."""
    aims = {
        "consign": None,
        "rsync-tls": 1.0,
        "rsync-ssh": None,
        "curl-Z": 2.0,
        "curl": None,
        "scp": 12.0,
        "gridftp": None,
    }
    both_ways(bench, "small", aims, files=bench.files)


@row("small-disk")
def small_disk(bench):
    """Many files of 4 KiB, from disk to disk."""
    aims = {
        "consign": None,
        "rsync-tls": 1.0,
        "rsync-tls-unsynced": 0.7,
        "curl-Z": None,
        "scp": None,
    }
    both_ways(bench, "small-disk", aims, files=bench.files, kind="disk")


@row("far")
def far(bench):
    """A file over 100 ms of round trip and 1 Gbit/s."""
    aims = {
        "consign": None,
        "curl": 1.2,
        "gridftp": 1.5,
        "gridftp-p4": 1.5,
        "rsync-tls": None,
        "scp": None,
    }
    both_ways(bench, "far", aims, size=bench.size // 8, link="far")


@row("far-small")
def far_small(bench):
    """Small files over the same link."""
    aims = {"consign": None, "rsync-tls": 1.2, "curl-Z": None}
    both_ways(bench, "far-small", aims, files=bench.files // 10, link="far")


@row("unchanged")
def unchanged(bench):
    """A large tree that the other side has already."""
    aims = {"consign": None, "rsync-tls": 1.2, "rsync-ssh": 1.2}
    stage, table = bench.stage, bench.table("unchanged", bench.tree, "files/s", aims)
    source = small_files(stage.path("here", "mem", "source"), bench.tree, 64)
    for round_ in bench.rounds():
        for peer in bench.active(aims):
            there = "mem/unchanged-" + peer
            if round_ == 0:
                bench.prepare(table, peer, "sync", source, there)
            bench.measure(table, peer, "sync", round_, source, there)
    for peer in aims:
        remove(stage.path("there", "mem", "unchanged-" + peer))
    remove(source)
    bench.report(table)


@row("log")
def log(bench):
    """Log text over 50 MB/s, packed on the way, beside consign unpacked."""
    works = {
        "consign": ("put-packed", None),
        "consign (plain)": ("put-plain", 2.5),
        "rsync-tls": ("put-packed", 1.3),
        "rsync-ssh": ("put-packed", 1.3),
        "scp": ("put-packed", None),
    }
    size = bench.size // 2
    stage = bench.stage
    table = bench.table("log", size, "MiB/s", {peer: aim for peer, (_, aim) in works.items()})
    source = log_file(stage.path("here", "mem", "source"), size)
    for round_ in bench.rounds():
        for peer in bench.active(works):
            common = {"link": "slow", "fresh": size}
            if bench.measure(table, peer, works[peer][0], round_, source, "mem/log", **common):
                bench.check(table, peer, round_, source, stage.path("there", "mem", "log"))
            remove(stage.path("there", "mem", "log"))
    remove(source)
    bench.report(table)


def change(path, share):
    """Changes some bytes in that share of the chunks, spread evenly; its time, too."""
    with open(path, "r+b", buffering=0) as f:
        step = int(1 / share)
        for i in range(0, os.path.getsize(path) // CHUNK, step):
            f.seek(i * CHUNK + 4096)
            f.write(os.urandom(64))
    os.utime(path, (time.time() + 10, time.time() + 10))


@row("delta")
def delta(bench):
    """A large file with 1 % of its chunks changed, and the full send before that."""
    aims = {"consign": None, "rsync-tls": 1.5, "rsync-ssh": 1.5}
    size = 2 * bench.size
    stage = bench.stage
    changed = len(range(0, size // CHUNK, 100)) * CHUNK
    table = bench.table("delta", size, "MiB/s", {**aims, "consign (full)": 8.0})
    source = random_file(stage.path("here", "mem", "source"), size)
    there = stage.path("there", "mem", "delta")
    for round_ in bench.rounds():
        for peer in bench.active(aims):
            whole = {"missing": size, "fresh": size}
            part = {"missing": changed, "fresh": size}
            if bench.measure(table, peer + " (full)", "put", round_, source, "mem/delta", **whole):
                change(source, 0.01)
                if bench.measure(table, peer, "delta", round_, source, "mem/delta", **part):
                    bench.check(table, peer, round_, source, there)
            remove(there)
    remove(source)
    bench.report(table)


@row("handshake")
def handshake(bench):
    """Full handshakes, client certificate and verdict included, with the server's key in a SoftHSM;
    beside the same server with the key in a file, and what the token alone signs."""
    stage, count = bench.stage, 20 * bench.sessions
    table = bench.table("handshake", count, "a second", {"consign (key in a file)": 0.8})
    program = f"{bench.build}/t/perf/handshakes"
    connect = f"{program} connect 127.0.0.1 {{}} {stage.path('user.pem')} {stage.path('user.key')}"
    sign = f"{program} sign '{servers.TOKEN_KEY}' {servers.SOFTHSM} {stage.path('pin')}"
    processes = 2 * os.cpu_count()
    for round_ in bench.rounds():
        for name, server in (
            ("consign", "consignd_token"),
            ("consign (key in a file)", "consignd"),
            ("token alone", None),
        ):
            bench.serving("consignd")
            pids, times = bench.serving(server or "consignd_token"), 1 if server else 10
            line = connect.format(servers.PORT[server]) if server else sign
            job = measure.Job(f"{line} {count * times} {processes}", servers=pids if server else [])
            table.add(name, round_, measure.run(stage, job), times)
    bench.report(table)


@row("resume-handshake")
def resume_handshake(bench):
    """Connections that resume a session, verdict included, which ask no token for anything; beside full
    handshakes with the same server and its key in a SoftHSM."""
    stage, count = bench.stage, 20 * bench.sessions
    table = bench.table("resume-handshake", count, "a second", {"consign (full)": 1.1})
    program, processes = f"{bench.build}/t/perf/handshakes", 2 * os.cpu_count()
    who = f"{stage.path('user.pem')} {stage.path('user.key')}"
    for round_ in bench.rounds():
        for name, work in ("consign", "resume"), ("consign (full)", "connect"):
            for server in "consignd", "consignd_token":
                bench.serving(server)
            pids = bench.serving("consignd_tickets")
            line = f"{program} {work} 127.0.0.1 {servers.PORT['consignd_tickets']} {who}"
            job = measure.Job(f"{line} {count} {processes}", servers=pids)
            table.add(name, round_, measure.run(stage, job))
    bench.report(table)


@row("short")
def short(bench):
    """Sessions of a new process each that move one file of 1 KiB."""
    aims = {
        "consign": None,
        "curl": 1.3,
        "scp": 3.0,
        "rsync-tls": None,
        "gridftp": None,
        "xrdcp": None,
    }
    stage = bench.stage
    source = random_file(stage.path("here", "mem", "source"), 1024)
    back = stage.path("here", "mem", "back")
    for work, direction in ("put", "up"), ("get", "down"):
        table = bench.table(f"short {direction}", bench.sessions, "sessions/s", aims)
        here = source if work == "put" else back
        for round_ in bench.rounds():
            for peer in bench.active(aims):
                there = "mem/short-" + peer
                if round_ == 0:
                    bench.prepare(table, peer, "put", source, there)
                bench.measure(table, peer, work, round_, here, there, times=bench.sessions)
        bench.report(table)
    for peer in aims:
        remove(stage.path("there", "mem", "short-" + peer))
    remove(source)
    remove(back)


@row("resume")
def resume(bench):
    """A file whose upload was killed at half, by those that prove what the first half left."""
    aims = {"consign": None, "rsync-tls": 1.0, "rsync-ssh": 1.0}
    stage = bench.stage
    size = bench.size
    table = bench.table("resume", size, "MiB/s", aims)
    source = random_file(stage.path("here", "mem", "source"), size)
    for round_ in bench.rounds():
        for peer in bench.active(aims):
            there = "mem/resume"
            sent = bench.cut(table, peer, "resume", source, there, size // 2)
            rest = {"missing": size - sent, "fresh": size // 2}
            if sent and bench.measure(table, peer, "resume", round_, source, there, **rest):
                bench.check(table, peer, round_, source, stage.path("there", there))
            remove(stage.path("there", there))
    remove(source)
    bench.report(table)


@row("profile", apart=True)
def profile(bench):
    """Where consign's time goes, as perf samples client and server: build/perf/profile.txt."""
    stage = bench.stage
    source = random_file(stage.path("here", "mem", "source"), bench.size)
    with open(f"{bench.build}/perf/profile.txt", "w", encoding="utf-8") as out:
        for work, here in ("put", source), ("get", stage.path("here", "mem", "back")):
            job = bench.job("consign", work, here, "mem/profile")
            measure.warm(stage.path("here", "mem"), bench.size)
            for end, text in measure.sample(stage, job).items():
                out.write(f"== {work}, {end}\n{text}\n")
    remove(stage.path("there", "mem", "profile"))
    remove(stage.path("here", "mem", "back"))
    remove(source)
