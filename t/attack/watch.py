# SPDX-License-Identifier: ISC
"""What the kernel says of a server's processes."""
import os


def status_of(pid, key):
    try:
        with open("/proc/%d/status" % pid, encoding="utf-8") as f:
            for line in f:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
    except (OSError, ProcessLookupError):
        pass
    return 0


def children(pid):
    out = []
    for name in os.listdir("/proc"):
        if name.isdigit() and status_of(int(name), "PPid") == pid:
            out.append(int(name))
    return out


def children_kib(pid, key="RssAnon"):
    """{pid: KiB of its own memory} of all processes of the server."""
    return {p: status_of(p, key) for p in children(pid)}


def memory_tells(pid):
    """Whether its memory says something: with AddressSanitizer freed memory is kept for a while."""
    with open("/proc/%d/maps" % pid, encoding="utf-8") as f:
        return "libasan" not in f.read()
