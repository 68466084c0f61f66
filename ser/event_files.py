"""Event files, as TensorBoard reads them: numbers over steps -> bytes. Needs neither TensorBoard nor TensorFlow.

A file is a row of records (TFRecord: length, its checksum, content, its checksum); each holds one Event of
tensorflow/core/util/event.proto in the encoding of Protocol Buffers. The first one names the version.
"""
import functools
import struct

CASTAGNOLI = 0x82F63B78         # polynomial of CRC-32C, its bits reversed
VERSION = b"brain.Event:2"


def event_file(scalars):
    """The content of an event file: bytes.

    scalars : [(tag, step, value, time), ...]: name of the curve; int; float; seconds since 1970
    """
    times = [time for *_, time in scalars]
    version = double_field(1, min(times, default=0)) + bytes_field(3, VERSION)
    return b"".join(map(record, [version, *(scalar_event(*scalar) for scalar in scalars)]))


def scalar_event(tag, step, value, time):
    """An Event: time (field 1), step (2), and a Summary (5) of one Value (1): tag (1), simple_value (2)."""
    scalar = bytes_field(1, tag.encode()) + key(2, 5) + struct.pack("<f", value)
    return double_field(1, time) + key(2, 0) + varint(step) + bytes_field(5, bytes_field(1, scalar))


# -- Protocol Buffers ------------------------------------------------------------------------------
def varint(number):
    """An int from 0 on, seven bits a byte, the lowest first."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def key(field, wire_type):
    return varint(field << 3 | wire_type)


def double_field(field, value):
    return key(field, 1) + struct.pack("<d", value)


def bytes_field(field, content):
    return key(field, 2) + varint(len(content)) + content


# -- records ---------------------------------------------------------------------------------------
def record(content):
    """One record of a TFRecord file."""
    length = struct.pack("<Q", len(content))
    return length + masked_checksum(length) + content + masked_checksum(content)


def masked_checksum(content):
    """CRC-32C, rotated and moved as TFRecord does, so that a checksum of what holds checksums is a good one: 4 bytes"""
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(content):
    """The checksum of RFC 3720 (Castagnoli): int."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = checksum_table()[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


@functools.cache
def checksum_table():
    """What each byte does to a checksum: 256 ints."""
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (CASTAGNOLI if crc & 1 else 0)
        table.append(crc)
    return table
