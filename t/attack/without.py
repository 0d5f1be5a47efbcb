#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Runs a program for which a system call does not exist.

    without.py CALL COMMAND...      CALL is a number"""
import ctypes
import os
import platform
import struct
import sys

ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}    # AUDIT_ARCH_*
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06                   # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
ALLOW, ERRNO, ENOSYS = 0x7FFF0000, 0x00050000, 38
NO_NEW_PRIVS, SECCOMP, FILTER = 38, 22, 2                # prctl


def install(call):
    arch = ARCH[platform.machine()]
    program = [(LOAD, 0, 0, 4), (EQUAL, 0, 3, arch), (LOAD, 0, 0, 0), (EQUAL, 0, 1, call), (RETURN, 0, 0, ERRNO | ENOSYS), (RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    whole = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(SECCOMP, FILTER, whole, 0, 0):
        sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
    ctypes.set_errno(0)
    if libc.syscall(call, -1, None, None, 0) != -1 or ctypes.get_errno() != ENOSYS:
        sys.exit("call %d is there" % call)


install(int(sys.argv[1]))
os.execvp(sys.argv[2], sys.argv[2:])
