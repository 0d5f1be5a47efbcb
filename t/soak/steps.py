# SPDX-License-Identifier: ISC
"""The operations: each draws its arguments, and says what it may leave and which statuses it may end with.
A new one is a function and a row of STEPS."""
import hashlib
import json
import os
import shutil

import content
from content import Content
from model import FOLDER, Divergence

NAMES = ("a", "b", "c", "d e", "-f", "ä'\"g", "h" * 200)
FOLDERS = ("x", "y", "x/y", "z")
HOT = ("h0", "h1", "h2", "h3")
# user, virtual prefix, folder below files/
AREAS = (("alice", "", "alice"), ("carol", "", "alice"), ("bob", "", "bob"),
         ("alice", "/shared", "shared"), ("bob", "/shared", "shared"), ("dave", "", "small"))
SMALL = 128 << 10  # up to here a file goes in one message
SMALL_LARGEST = 6 << 20  # contents in the folder that gets full
EX_DIFFER, EX_DATA, EX_NOENT, EX_UNAVAILABLE, EX_EXISTS, EX_IO, EX_TEMP = 1, 65, 66, 69, 73, 74, 75


class Op:
    """One command of a client."""

    def __init__(self, worker, area, words, *, effects=None, reads=(), forwards=None, may=None, locks=False):
        self.worker, self.user, self.prefix, self.root = worker, *area
        self.words = words
        self.effects = effects or {}
        self.reads = list(reads)
        self.forwards = forwards or {}
        self.may = may or (lambda op: {0})  # statuses of an undisturbed run
        self.locks = locks
        self.over = False
        self.crowded = False
        self.check = None  # called after an end with status 0 with the client's JSON
        self.look = None  # called after any end, with the status
        self.audit = ()  # records that must be there after status 0
        self.puts = ()  # paths that may be left a part
        self.takes = ()  # paths whose part is gone after status 0
        self.again = None  # arguments of an upload that can be taken up when it is cut
        self.linked = False  # renamed by link() and unlink()
        self.name = f"{worker.number}.{worker.step}"

    def __str__(self):
        return f"[{self.name}] {self.user}: {' '.join(self.words)}{self.detail()}"

    def detail(self):
        values = [str(v) for vs in self.effects.values() for v in vs if isinstance(v, Content)]
        return f" ({'; '.join(values[:3])})" if values else ""


def virtual(area, path):
    """The path as the user knows it, of a path below files/."""
    return area[1] + path[len(area[2]):]


def remote(area, path):
    return f"{area[0]}:{virtual(area, path)}"


def value_of(entry_type, size):
    return FOLDER if entry_type == "folder" else size


# -- drawing --


def draw_folder(w, area):
    """A folder of the worker's own that is there."""
    own = w.own(area)
    there = [own] + [f"{own}/{name}" for name in FOLDERS if w.model.cell(f"{own}/{name}").certain() == FOLDER]
    return w.rng.choice(there)


def draw_file(w):
    """(area, cell of a path for a file)."""
    if w.rng.random() < 0.25:
        area = w.rng.choice(w.areas_all)
        return area, w.model.cell(f"{area[2]}/hot/{w.rng.choice(HOT)}")
    area = w.rng.choice(w.areas)
    return area, w.model.cell(f"{draw_folder(w, area)}/{w.rng.choice(NAMES)}")


def draw_standing(w):
    """Like draw_file, rather a file that is there."""
    area, cell = draw_file(w)
    for _ in range(6):
        if any(isinstance(v, Content) for v in cell.possible):
            break
        area, cell = draw_file(w)
    return area, cell


def draw_content(w, area):
    return content.draw(w.rng, SMALL_LARGEST if area[2] == "small" else content.LARGEST)


def seen_file(op, cell):
    return any(isinstance(v, Content) for v in op.seen[cell])


def reading(cell):
    """Statuses of a read of a path."""
    def may(op):
        statuses = set()
        if seen_file(op, cell):
            statuses.add(0)
        if None in op.seen[cell]:
            statuses.add(EX_NOENT)
        if op.crowded:
            statuses.add(EX_DATA)  # CHANGED: replaced while it was read
        return statuses
    return may


def audited(op, event, cell, value=None, **more):
    key = {"event": event, "user": op.user, "path": virtual((op.user, op.prefix, op.root), cell.path), **more}
    if value is not None:
        key["root"] = value.root
    return tuple(sorted(key.items()))


# -- uploads --


def upload(w, area, cell, value, *options):
    file = w.file("out")
    value.write(file)
    keeps = "--no-overwrite" in options

    def may(op):
        statuses = {0}
        if keeps and op.seen[cell] != {None}:
            statuses = {0, EX_EXISTS} if None in op.seen[cell] else {EX_EXISTS}
        return statuses
    op = Op(w, area, ["put", *options, file, remote(area, cell.path)], effects={cell: {value}}, reads=[cell], may=may,
            locks=value.size > SMALL)

    def check(events):
        if result(events)["root"] != value.root:
            raise Divergence(f"{op}: says root {result(events)['root']}, not {value.root}", cell)
    op.check = check
    op.audit = [audited(op, "put", cell, value)]
    op.puts = op.takes = (cell.path,)
    op.again = (area, cell, value)
    return op


def put(w):
    area, cell = draw_file(w)
    options = ["--no-overwrite"] if w.rng.random() < 0.15 else []
    if w.rng.random() < 0.1:
        options.append("--recheck")
    return upload(w, area, cell, draw_content(w, area), *options)


def put_again(w):
    """What was cut is taken up with the same content; or with a changed one."""
    cut, w.cut = w.cut, None
    if not cut:
        return None
    area, cell, value = cut
    if w.model.cell(os.path.dirname(cell.path)).certain() != FOLDER:
        return None
    if w.rng.random() < 0.75:
        return upload(w, area, cell, value)
    # The part then holds some of both.
    op = upload(w, area, cell, content.changed(value, w.rng))
    op.again = cut
    return op


def put_changed(w):
    area, cell = draw_standing(w)
    old = cell.certain()
    return upload(w, area, cell, content.changed(old, w.rng) if isinstance(old, Content) else draw_content(w, area))


def draw_tree(w, top):
    """A local tree for the folder top at the server, with some of what is there already. (folder, effects, what has
    to be sent by path cell)"""
    local = w.file("tree")
    shutil.rmtree(local, ignore_errors=True)
    effects, sent = {w.model.cell(top): {FOLDER}}, {}
    for folder in [""] + (["/y"] if top.endswith("/x") else []):
        os.makedirs(local + folder)
        effects[w.model.cell(top + folder)] = {FOLDER}
        for name in w.rng.sample(NAMES, w.rng.randrange(0, 5)):
            child = w.model.cell(f"{top}{folder}/{name}")
            value = child.certain()
            if not isinstance(value, Content) or w.rng.random() < 0.6:
                value = sent[child] = content.draw(w.rng, 300_000)
            value.write(f"{local}{folder}/{name}")
            effects[child] = {value}
    return local, effects, sent


def draw_top(w):
    """(area, path) of a folder of the worker's own, there or not, below one that is there."""
    area = w.rng.choice(w.areas)
    top = f"{w.own(area)}/{w.rng.choice(FOLDERS)}"
    parent = os.path.dirname(top)
    return area, top if parent == w.own(area) or w.model.cell(parent).certain() == FOLDER else parent


def connections(w):
    return ["-j", "2"] if w.rng.random() < 0.3 else []


def send_tree(w, area, words, effects, sent):
    op = Op(w, area, words, effects=effects, may=lambda op: {0, EX_DATA, EX_NOENT} if op.crowded else {0})
    op.audit = [audited(op, "put", child, value) for child, value in sent.items()]
    op.puts = tuple(c.path for c, values in effects.items() if any(isinstance(v, Content) for v in values))
    # put -r sends again what is there, sync leaves it alone, and with it a part that a cut upload left.
    op.takes = op.puts if words[0] == "put" else tuple(c.path for c in sent)
    return op


def put_tree(w):
    area, top = draw_top(w)
    local, effects, sent = draw_tree(w, top)
    return send_tree(w, area, ["put", "-r", *connections(w), local, remote(area, top)], effects, sent)


def sync_up(w):
    area, top = draw_top(w)
    below = w.model.below(top)
    if any(c.writers for c in below):
        return None
    local, effects, sent = draw_tree(w, top)
    options = connections(w)
    if w.rng.random() < 0.5:
        options.append("--delete")
        effects.update({c: {None} for c in below if c not in effects})
    if w.rng.random() < 0.3:
        options.append("--checksum")
        # The same content stays as it is, with its own time: two empty files are enough.
        for child, value in list(sent.items()):
            same = {v for v in child.possible if isinstance(v, Content) and (v.size, v.root) == (value.size, value.root)}
            if same:
                effects[child] = same if child.possible == same else same | {value}
                del sent[child]
    return send_tree(w, area, ["sync", *options, local, remote(area, top)], effects, sent)


# -- downloads --


def result(events):
    return next(e for e in reversed(events) if e["event"] == "result")


def get(w):
    area, cell = draw_standing(w)
    file = w.file("in/" + w.rng.choice(("1", "2", "3")))
    before = w.identity(file)
    op = Op(w, area, ["get", remote(area, cell.path), file], reads=[cell], may=reading(cell))

    def look(status):
        now = w.identity(file)
        fetched = [v for v in op.seen[cell] if isinstance(v, Content) and w.is_content(now, v)]
        if not fetched and (status == 0 or now != before):
            may = ", ".join(str(v) for v in op.seen[cell])
            raise Divergence(f"{op}: {file} is {now}, was {before}, may be {may}", cell)
        part = hashlib.sha256(b"/" + os.path.basename(file).encode()).hexdigest()[:32]
        if status == 0 and os.path.exists(w.file(f"in/.consign/parts/{part}.data")):
            raise Divergence(f"{op}: succeeded and left its part {part}", cell)
    op.look = look

    def check(events):
        # The client has the last word of a download: a server that is killed then has not recorded it.
        if not w.rough:
            w.acknowledged(audited(op, "get", cell, root=result(events)["root"]))
    op.check = check
    return op


def fetch_tree(w, command, local, before):
    """before: what local holds, and may hold after a failure."""
    area = w.rng.choice(w.areas)
    top = draw_folder(w, area)
    below = w.model.below(top)
    op = Op(w, area, [*command, *connections(w), remote(area, top), local], reads=below,
            may=lambda op: {0, EX_DATA, EX_NOENT} if op.crowded else {0})

    def look(status):
        found = w.walk(local)
        known = {c.path[len(top) + 1:]: c for c in op.seen}
        for path, now in found.items():
            cell = known.get(path)
            fits_cell = cell and any(w.matches(now, v) for v in op.seen[cell])
            if not fits_cell and (status == 0 or before.get(path) != now):
                may = ", ".join(str(v) for v in op.seen[cell]) if cell else "nothing"
                raise Divergence(f"{op}: {path} is {now}, may be {may}", cell)
        for path, cell in known.items():
            if status == 0 and path not in found and None not in op.seen[cell]:
                raise Divergence(f"{op}: {path} is missing", cell)
    op.look = look
    return op


def get_tree(w):
    local = w.file("back")
    shutil.rmtree(local, ignore_errors=True)
    return fetch_tree(w, ["get", "-r"], local, {})


def sync_down(w):
    local = w.file("mirror")
    os.makedirs(local, exist_ok=True)
    return fetch_tree(w, ["sync", "--delete"], local, w.walk(local))


# -- changes --


def move(w):
    area, source = draw_standing(w)
    for _ in range(20):
        target_area, target = draw_file(w)
        if target_area[2] == area[2] and target is not source:
            break
    else:
        return None
    keeps = w.rng.random() < 0.3

    def may(op):
        statuses = set()
        if seen_file(op, source) and (not keeps or None in op.seen[target]):
            statuses.add(0)
        if keeps and seen_file(op, target):
            statuses.add(EX_EXISTS)
        if None in op.seen[source]:
            statuses.add(EX_NOENT)
        return statuses
    op = Op(w, area, ["mv", *(["-n"] if keeps else []), remote(area, source.path), remote(area, target.path)],
            effects={source: {None}, target: set()}, reads=[source, target], forwards={source: target}, may=may)
    op.linked = keeps
    op.audit = [audited(op, "rename", source, to=virtual(area, target.path))]
    return op


def move_folder(w):
    area = w.rng.choice(w.areas)
    own = w.own(area)
    top, to = (f"{own}/{name}" for name in w.rng.sample(("x", "y", "z"), 2))
    below = w.model.below(top)
    cell, target = w.model.cell(top), w.model.cell(to)
    if any(c.writers or c.certain() is ... for c in below + [cell, target]) or w.model.below(to):
        return None
    if cell.certain() is None or target.certain() is not None:
        wanted = {EX_NOENT} if cell.certain() is None else {EX_EXISTS}
        return Op(w, area, ["mv", remote(area, top), remote(area, to)], may=lambda op: wanted)
    effects, group = {}, []
    for c in [cell] + below:
        moved = w.model.cell(to + c.path[len(top):])
        value = c.certain()
        effects[c], effects[moved] = {None}, {value}
        group += [(c, value, None), (moved, None, value)]
    op = Op(w, area, ["mv", remote(area, top), remote(area, to)], effects=effects)
    op.group = group
    op.audit = [audited(op, "rename", cell, to=virtual(area, to))]
    return op


def remove(w):
    area, cell = draw_standing(w)

    def may(op):
        return ({0} if seen_file(op, cell) else set()) | ({EX_NOENT} if None in op.seen[cell] else set())
    op = Op(w, area, ["rm", remote(area, cell.path)], effects={cell: {None}}, reads=[cell], may=may)
    op.audit = [audited(op, "remove", cell)]
    return op


def remove_folder(w):
    area = w.rng.choice(w.areas)
    cell = w.model.cell(f"{w.own(area)}/{w.rng.choice(FOLDERS)}")
    below = w.model.below(cell.path)

    def may(op):
        statuses = set()
        if FOLDER in op.seen[cell] and all(None in op.seen[c] for c in below):
            statuses.add(0)
        if any(v is not None for c in below for v in op.seen[c]):
            statuses.add(EX_EXISTS)
        if None in op.seen[cell]:
            statuses.add(EX_NOENT)
        return statuses
    op = Op(w, area, ["rm", "-d", remote(area, cell.path)], effects={cell: {None}}, reads=[cell, *below], may=may)
    op.audit = [audited(op, "remove", cell)]
    return op


def make_folder(w):
    area = w.rng.choice(w.areas)
    cell = w.model.cell(f"{w.own(area)}/{w.rng.choice(FOLDERS)}")
    parent = w.model.cell(os.path.dirname(cell.path))
    parents = w.rng.random() < 0.4
    effects = {cell: {FOLDER}}
    if parents:
        effects[parent] = {FOLDER}

    def may(op):
        if parents:
            return {0}
        statuses = set()
        if None in op.seen[cell] and FOLDER in op.seen[parent]:
            statuses.add(0)
        if FOLDER in op.seen[cell]:
            statuses.add(EX_EXISTS)
        if None in op.seen[parent]:
            statuses.add(EX_NOENT)
        return statuses
    op = Op(w, area, ["mkdir", *(["-p"] if parents else []), remote(area, cell.path)], effects=effects,
            reads=[cell, parent], may=may)
    op.audit = [audited(op, "mkdir", cell)]
    return op


# -- looks --


def show_list(w):
    area = w.rng.choice(w.areas)
    top = draw_folder(w, area)
    children = [c for c in w.model.below(top) if os.path.dirname(c.path) == top]
    op = Op(w, area, ["ls", remote(area, top)], reads=children, may=lambda op: {0, EX_NOENT} if op.crowded else {0})

    def check(events):
        found = {e["name"]: e for e in events if e["event"] == "entry"}
        known = {os.path.basename(c.path): c for c in op.seen}
        for name, entry in found.items():
            cell = known.get(name)
            if not cell or not any(fits(entry, v) for v in op.seen[cell]):
                raise Divergence(f"{op}: shows {entry}", cell)
        for name, cell in known.items():
            if name not in found and None not in op.seen[cell]:
                raise Divergence(f"{op}: does not show {name}", cell)
    op.check = check
    return op


def fits(entry, value):
    """Whether an entry of ls or stat can be that value."""
    if value is FOLDER:
        return entry["type"] == "folder"
    return (isinstance(value, Content) and entry["type"] == "file" and int(entry["size"]) == value.size and
            entry.get("root", value.root) == value.root)


def show(w):
    area, cell = draw_standing(w)
    op = Op(w, area, ["stat", "--root", remote(area, cell.path)], reads=[cell], may=reading(cell))

    def check(events):
        entry = events[-1]
        if not entry.get("root") or not any(fits(entry, v) for v in op.seen[cell]):
            may = ", ".join(f"{v} root {v.root}" if isinstance(v, Content) else str(v) for v in op.seen[cell])
            raise Divergence(f"{op}: says {entry}, may be {may}", cell)
    op.check = check
    return op


def verify(w):
    area, cell = draw_standing(w)
    old = cell.certain()
    same = isinstance(old, Content) and w.rng.random() < 0.7
    value = old if same else draw_content(w, area)
    file = w.file("out")
    value.write(file)

    def may(op):
        statuses = reading(cell)(op)
        if 0 in statuses:
            statuses.add(EX_DIFFER)
        if all(v is None or v.root != value.root or v.size != value.size for v in op.seen[cell]):
            statuses.discard(0)
        if all(v is None or (v.root == value.root and v.size == value.size) for v in op.seen[cell]):
            statuses.discard(EX_DIFFER)
        return statuses
    return Op(w, area, ["verify", file, remote(area, cell.path)], reads=[cell], may=may)


def part_id(path):
    """What the files of an unfinished upload are called."""
    for _, prefix, root in AREAS:
        if path.startswith(root + "/"):
            return hashlib.sha256(os.fsencode(prefix + path[len(root):])).hexdigest()[:32]
    raise ValueError(path)


def orphan(path):
    """Whether there is data without a journal: a small file whose session was killed."""
    return os.path.exists(f"files/{path.split('/')[0]}/.consign/parts/{part_id(path)}.data")


def discard(w):
    area, cell = draw_file(w)
    left, may_be = w.model.parts.get(cell.path), orphan(cell.path)
    op = Op(w, area, ["rm", "--part", remote(area, cell.path)],
            may=lambda op: {0, EX_NOENT, EX_TEMP} if left or cell.writers or may_be else {EX_NOENT})
    op.audit = [audited(op, "discard", cell)]
    op.takes = (cell.path,)
    return op


def pending(w):
    area = w.rng.choice(w.areas_all)
    op = Op(w, area, ["ls", "--pending", remote(area, area[2] + "/")])

    def check(events):
        for e in events:
            if int(e["have"]) > int(e["length"]):
                raise Divergence(f"{op}: shows {e}")
    op.check = check
    return op


STEPS = ((put, 20), (put_changed, 14), (put_again, 30), (put_tree, 5), (get, 16), (sync_up, 6), (get_tree, 4), (sync_down, 5), (move, 10), (move_folder, 3),
         (remove, 6), (remove_folder, 3), (make_folder, 5), (show_list, 4), (show, 6), (verify, 4), (discard, 2),
         (pending, 2))


def draw(w):
    functions, weights = zip(*STEPS)
    while True:
        function = w.rng.choices(functions, weights)[0]
        op = function(w)
        if op:
            op.kind = function.__name__
            return op


def parse(output):
    """The client's JSON, an object a line."""
    return [json.loads(line) for line in output.splitlines()]
