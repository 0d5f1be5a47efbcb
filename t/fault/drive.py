#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""drive.py MODULE STEP...: calls a PKCS#11 module as ordinary tools do not, and prints each return value.

    init  final  open  look  close  closeall
            C_Initialize, C_Finalize, C_OpenSession on the first slot, C_GetSessionInfo and C_CloseSession
            of the session opened last, C_CloseAllSessions of the first slot
    slots   how many slots have a token
    both    "look" while another "look" of this process, which has to hang, is under way
    fork    the steps that follow are done in a child process
    quit    ends at once, whatever still hangs
"""

import ctypes
import os
import sys
import threading
import time

INITIALIZE, FINALIZE, SLOT_LIST, OPEN, CLOSE, CLOSE_ALL, INFO = 0, 1, 4, 12, 13, 14, 15
SERIAL = 4
ulong = ctypes.c_ulong


class Functions(ctypes.Structure):
    """The version, then the functions in the order of the standard."""
    _fields_ = [("version", ctypes.c_ubyte * 2), ("entries", ctypes.c_void_p * 68)]


def load(path):
    module = ctypes.CDLL(path)
    table = ctypes.POINTER(Functions)()
    if module.C_GetFunctionList(ctypes.byref(table)) != 0:
        sys.exit("no function list")
    return lambda n, *args: ctypes.CFUNCTYPE(ulong)(table.contents.entries[n])(*args)


class Driver:
    def __init__(self, path):
        self.call = load(path)
        self.session = ulong(0)

    def slot_list(self):
        slots, n = (ulong * 64)(), ulong(64)
        rv = self.call(SLOT_LIST, ctypes.c_ubyte(1), slots, ctypes.byref(n))
        return rv, list(slots)[:n.value]

    def slots(self):
        rv, slots = self.slot_list()
        return rv or len(slots)

    def init(self):
        return self.call(INITIALIZE, None)

    def final(self):
        return self.call(FINALIZE, None)

    def open(self):
        slot = self.slot_list()[1][0]
        return self.call(OPEN, ulong(slot), ulong(SERIAL), None, None, ctypes.byref(self.session))

    def close(self):
        return self.call(CLOSE, self.session)

    def closeall(self):
        return self.call(CLOSE_ALL, ulong(self.slot_list()[1][0]))

    def look(self):
        return self.call(INFO, self.session, (ulong * 8)())

    def both(self):
        threading.Thread(target=self.look, daemon=True).start()
        calls = os.environ["CONSIGN_FAULT"] + "/calls"
        while "C_GetSessionInfo hangs" not in open(calls).read():
            time.sleep(0.01)
        return self.look()


def main():
    driver = Driver(sys.argv[1])
    for step in sys.argv[2:]:
        if step == "fork":
            child = os.fork()
            if child:
                status = os.waitpid(child, 0)[1]
                os._exit(os.waitstatus_to_exitcode(status) & 0xff)
        elif step == "quit":
            os._exit(0)
        else:
            print(step, hex(getattr(driver, step)()), flush=True)


main()
