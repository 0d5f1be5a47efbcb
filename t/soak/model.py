# SPDX-License-Identifier: ISC
"""What must be in the server's folders.

Each path is a cell with the set of values it may have: None (nothing there), FOLDER, or a Content. An
operation that runs adds what it would leave; one that succeeded leaves that, and what others that ran
at the same time may have left after it. One that failed stays in flight (its session may still be at
work) until settle(), which is called when no session is left."""
import collections
import threading
import time

FOLDER = "folder"
HISTORY = 60


class Divergence(Exception):
    """The server and the model disagree."""

    def __init__(self, text, cell=None):
        super().__init__(text)
        self.cell = cell


class Cell:
    def __init__(self, path):
        self.path = path
        self.possible = {None}
        self.writers = set()
        self.readers = set()
        self.version = 0
        self.history = collections.deque(maxlen=HISTORY)

    def certain(self):
        """The one value it has, or Ellipsis."""
        return next(iter(self.possible)) if len(self.possible) == 1 else ...

    def note(self, text):
        self.history.append(f"{time.monotonic() - Model.began:9.3f} {text}")


class Model:
    began = time.monotonic()

    def __init__(self):
        self.lock = threading.Lock()
        self.cells = {}
        self.groups = []  # renames that failed: both names change, or none
        self.parts = {}  # path -> users that may have left a part for it

    def cell(self, path):
        with self.lock:
            return self.cells.setdefault(path, Cell(path))

    def below(self, folder):
        """Cells under a folder that something may be at."""
        with self.lock:
            return [c for p, c in self.cells.items() if p.startswith(folder + "/") and c.possible != {None}]

    # -- operations --

    def _add(self, by, cell, values):
        cell.possible |= values
        for reader in cell.readers - {by}:
            reader.seen[cell] |= values
            into = reader.forwards.get(cell)
            moved = {v for v in values if v is not None} - (reader.effects[into] if into else values)
            if moved:
                self._offer(reader, into, moved)

    def _offer(self, op, cell, values):
        """op may leave these values at cell."""
        op.effects[cell] |= values
        for other in cell.writers:
            if other is not op:
                other.overlap[cell] |= values
        self._add(op, cell, values)

    def begin(self, op):
        """op.effects: cell -> set of values; op.reads; op.forwards: cell -> cell its content moves to."""
        with self.lock:
            op.overlap, op.seen, op.settled_by = {}, {}, []
            for cell in set(op.reads) | set(op.forwards):
                op.seen[cell] = set(cell.possible)
                cell.readers.add(op)
            for source, target in op.forwards.items():
                op.effects.setdefault(target, set()).update(v for v in source.possible if v is not None)
            op.crowded = any(c.writers for c in [*op.effects, *op.seen])
            for cell, values in op.effects.items():
                op.overlap[cell] = set()
                for other in cell.writers:
                    # A part is locked: the earlier upload of a dead client can't commit after ours.
                    if op.locks and other.locks and other.over:
                        op.settled_by.append((cell, other))
                    else:
                        op.overlap[cell] |= other.effects[cell]
                    other.crowded = True
            for cell in op.effects:
                for reader in cell.readers - {op}:
                    reader.crowded = True
                cell.version += 1
                cell.writers.add(op)
                cell.note(f"{op} begins")
            for cell, values in list(op.effects.items()):
                self._offer(op, cell, set(values))

    def end(self, op, status):
        with self.lock:
            op.over = True
            for cell in op.effects:
                cell.note(f"{op} ends with {status}")
            for cell in op.seen:
                if status == 0 or not op.forwards:
                    cell.readers.discard(op)
            if status != 0:
                return
            for cell, other in op.settled_by:
                cell.writers.discard(other)
            for cell, values in op.effects.items():
                cell.writers.discard(op)
                cell.possible = set(values) | op.overlap[cell]

    # -- rest --

    def settle(self):
        """Nothing is in flight any more."""
        with self.lock:
            for cell in self.cells.values():
                cell.writers.clear()
                cell.readers.clear()

    def found(self, path, value, identify):
        """value is there now: must be allowed, and is from now on what is there. identify(value, allowed)
        says which of the allowed values it is."""
        cell = self.cell(path)
        with self.lock:
            for allowed in cell.possible:
                if identify(value, allowed):
                    cell.possible = {allowed}
                    return
        may = ", ".join(str(v) for v in cell.possible)
        raise Divergence(f"{path}: is {value}, may be {may}", cell)

    def check_groups(self):
        """To be called when every cell has one value."""
        for op, cells in self.groups:
            if any(cell.version != version for cell, version, _, _ in cells):
                continue
            now = [cell.certain() for cell, _, _, _ in cells]
            old = [before for _, _, before, _ in cells]
            new = [after for _, _, _, after in cells]
            both = [after if after is not None else before for _, _, before, after in cells]
            if now != old and now != new and not (op.linked and now == both):
                raise Divergence(f"{op}: renamed in part", cells[0][0])
        self.groups.clear()
