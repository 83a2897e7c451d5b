"""Rewrites the resource table of Android 15 in the older form that Debian's aapt2 reads.

    python3 expand_resources.py ANDROID_ALL_JAR FRAMEWORK_APK

Takes AndroidManifest.xml and resources.arsc out of the framework's jar and writes an APK of both, in which entries have
offsets of 32 bits and no compact form (ResourceTypes.h: FLAG_SPARSE, FLAG_OFFSET16, FLAG_COMPACT).
"""

import struct
import sys
import zipfile
from collections.abc import Iterator

TABLE, PACKAGE, TYPE = 0x0002, 0x0200, 0x0201
SPARSE, OFFSET16 = 1, 2
COMPLEX, COMPACT = 1, 8
NO_ENTRY = 0xFFFFFFFF


def chunks(data: bytes, start: int) -> Iterator[bytes]:
    """The chunks from ``start`` to the end; each begins with its type, the size of its header, and its size."""
    while start < len(data):
        (size,) = struct.unpack_from("<I", data, start + 4)
        yield data[start : start + size]
        start += size


def expanded(data: bytes) -> bytes:
    """A table or package with all its types in the older form."""
    _, header = struct.unpack_from("<HH", data)
    out = bytearray(data[:header])
    for chunk in chunks(data, header):
        (kind,) = struct.unpack_from("<H", chunk)
        out += expanded(chunk) if kind == PACKAGE else expanded_type(chunk) if kind == TYPE else chunk
    struct.pack_into("<I", out, 4, len(out))
    return bytes(out)


def offsets(chunk: bytes, header: int, flags: int, count: int) -> dict[int, int]:
    """Where the entries of a type lie behind its first, by their numbers."""
    if flags & SPARSE:
        pairs = struct.iter_unpack("<HH", chunk[header : header + 4 * count])
        return {number: 4 * offset for number, offset in pairs}
    width, none = ("H", 0xFFFF) if flags & OFFSET16 else ("I", NO_ENTRY)
    values = struct.unpack_from(f"<{count}{width}", chunk, header)
    return {number: offset * (4 if width == "H" else 1) for number, offset in enumerate(values) if offset != none}


def expanded_type(chunk: bytes) -> bytes:
    """A type's chunk: header with its configuration, offsets, entries."""
    _, header, _, number, flags, _, count, first = struct.unpack_from("<HHIBBHII", chunk)
    found = offsets(chunk, header, flags, count)
    if flags & SPARSE:
        count = max(found, default=-1) + 1
    table, entries = [NO_ENTRY] * count, bytearray()
    for place, offset in found.items():
        table[place] = len(entries)
        entries += entry(chunk, first + offset)
    start = header + 4 * count
    out = bytearray(chunk[:header]) + struct.pack(f"<{count}I", *table) + entries
    struct.pack_into("<IBBHII", out, 4, len(out), number, 0, 0, count, start)
    return bytes(out)


def entry(chunk: bytes, at: int) -> bytes:
    """One entry: a compact one is a key of 16 bits, flags with the value's type above them, and the value."""
    size, flags, value = struct.unpack_from("<HHI", chunk, at)
    if flags & COMPACT:
        return struct.pack("<HHIHBBI", 8, flags & 0xFF & ~COMPACT, size, 8, 0, flags >> 8, value)
    if flags & COMPLEX:
        (values,) = struct.unpack_from("<I", chunk, at + 12)
        return chunk[at : at + size + 12 * values]
    return chunk[at : at + size + 8]


def main(jar: str, target: str) -> None:
    with zipfile.ZipFile(jar) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as apk:
        for name in ("AndroidManifest.xml", "resources.arsc"):
            content = source.read(name)
            apk.writestr(name, expanded(content) if name == "resources.arsc" else content)


if __name__ == "__main__":
    main(*sys.argv[1:])
