"""Writing so that a stop at any moment harms nothing, tables as text, and short hashes of values.

What is being written has a name of its own, a draft, until it is whole (`draft_path`). Drafts of processes that are
gone are cleared away by ser/folders.py.
"""
import contextlib
import functools
import gzip
import hashlib
import json
import os
import secrets
import socket
from pathlib import Path

from ser.errors import with_path_in_error
from ser.names import neutral, without_apostrophe

DRAFT = ".draft-"               # how the names of drafts begin
# Columns that are read back as text: a speaker "01" stays that.
NAMES = ("file", "actor", "emotion", "true", "predicted", "label", "recording", "corpus", "fit_id")


# -- files -----------------------------------------------------------------------------------------
@contextlib.contextmanager
def write_atomically(path):
    """Gives a temporary path to write to; the file takes its final name only when the block ends well.

    A rename within a folder is atomic: whoever looks sees the old file, the new one, or none, never half. A link stays,
    and what it points to is replaced. What is no file, such as /dev/stdout or a pipe, is written to as it is.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        with with_path_in_error(path):
            yield path
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    tmp_path = draft_path(target)
    try:
        with with_path_in_error(path):
            yield tmp_path
            os.replace(tmp_path, target)
    finally:
        tmp_path.unlink(missing_ok=True)


def draft_path(path):
    """A path beside `path` that no other process or thread uses; its ending is that of `path`, which tells matplotlib
    the format."""
    return path.with_name(f"{DRAFT}{this_machine()}-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")


@functools.cache
def this_machine():
    """Six letters for this machine's name: several may write to one disk."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def as_json(value):
    return json.dumps(value, indent=2, default=str) + "\n"


def write_json(path, value):
    with write_atomically(path) as tmp_path:
        tmp_path.write_text(as_json(value))


# -- tables ----------------------------------------------------------------------------------------
def as_csv(table):
    """A DataFrame as CSV (str). A text that a spreadsheet would take for a formula gets an apostrophe in front, which
    `read_csv` takes away."""
    return table.assign(**{name: table[name].map(neutral) for name in table.select_dtypes(exclude="number")}).to_csv(
        index=False)


def write_csv(path, table):
    """A DataFrame as CSV, see `as_csv`; .gz is compressed without name and time, so that equal tables give equal bytes.
    """
    text = as_csv(table).encode()
    with write_atomically(path) as tmp_path:
        tmp_path.write_bytes(gzip.compress(text, mtime=0) if str(path).endswith(".gz") else text)


def read_csv(path):
    """The DataFrame that `write_csv` wrote. raises : OSError, ValueError"""
    import pandas as pd
    table = pd.read_csv(path, dtype=dict.fromkeys(NAMES, str), keep_default_na=False, na_values=[""])
    return table.assign(**{name: table[name].map(without_apostrophe) for name in table.select_dtypes(exclude="number")})


# -- hashes ----------------------------------------------------------------------------------------
def hash_json(value):
    """Short hash (16 hex digits) of a JSON-like value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def file_sha256(path):
    """SHA-256 of a file's bytes (64 hex digits). raises : OSError"""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
