"""Writing so that a stop at any moment harms nothing, and short hashes of values."""
import contextlib
import gzip
import hashlib
import json
import os
from pathlib import Path

from ser.errors import with_path_in_error


@contextlib.contextmanager
def write_atomically(path):
    """Gives a temporary path to write to; the file takes its final name only when the block ends well.

    A rename within a folder is atomic: whoever looks sees the old file, the new one, or none, never half.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp_path = path.with_name(f".{os.getpid()}.{path.name}")   # matplotlib takes the format from the ending
    try:
        with with_path_in_error(path):
            yield tmp_path
            os.replace(tmp_path, path)
    finally:
        tmp_path.unlink(missing_ok=True)


def as_json(value):
    return json.dumps(value, indent=2, default=str) + "\n"


def write_json(path, value):
    with write_atomically(path) as tmp_path:
        tmp_path.write_text(as_json(value))


def write_csv(path, table):
    """A DataFrame as CSV; .gz is compressed without name and time, so that equal tables give equal bytes."""
    text = table.to_csv(index=False).encode()
    with write_atomically(path) as tmp_path:
        tmp_path.write_bytes(gzip.compress(text, mtime=0) if str(path).endswith(".gz") else text)


def hash_json(value):
    """Short hash (16 hex digits) of a JSON-like value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
