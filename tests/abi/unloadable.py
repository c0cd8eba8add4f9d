#!/usr/bin/env python3
"""Copies a library without its flag `nodelete`. tests/c/loading.c must notice that it is missing.

    tests/abi/unloadable.py LIBRARY COPY
"""

import pathlib
import struct
import sys

DT_NULL, DT_FLAGS_1, DF_1_NODELETE, PT_DYNAMIC = 0, 0x6FFFFFFB, 0x8, 2


def without_nodelete(elf):
    """The bytes of a 64-bit little-endian library without the flag."""
    elf = bytearray(elf)
    headers, size, number = struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54)
    for header in range(headers, headers + size * number, size):
        kind, _, at = struct.unpack_from("<IIQ", elf, header)
        while kind == PT_DYNAMIC:
            tag, value = struct.unpack_from("<QQ", elf, at)
            if tag == DT_FLAGS_1 and value & DF_1_NODELETE:
                struct.pack_into("<QQ", elf, at, tag, value & ~DF_1_NODELETE)
                return bytes(elf)
            if tag == DT_NULL:
                break
            at += 16
    sys.exit("the library has no flag 'nodelete'")


if len(sys.argv) != 3:
    sys.exit(__doc__)
pathlib.Path(sys.argv[2]).write_bytes(without_nodelete(pathlib.Path(sys.argv[1]).read_bytes()))
