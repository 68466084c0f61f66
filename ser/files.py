"""Writing so that a stop at any moment harms nothing, and short hashes of values and code."""
import ast
import contextlib
import gzip
import hashlib
import json
import os
from pathlib import Path


@contextlib.contextmanager
def with_path_in_error(path):
    """An error of the system within the block names this path: neither none, as that of a full disk, nor a draft.

    raises : OSError
    """
    try:
        yield
    except OSError as problem:
        if problem.errno is None:
            raise
        raise OSError(problem.errno, problem.strerror, str(path)) from problem


@contextlib.contextmanager
def write_atomically(path):
    """Gives a draft path to write to; the draft takes the final name only when the block ends well.

    A rename within a folder is atomic: whoever looks sees the old file, the new one, or none, never half.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{os.getpid()}.{path.name}")      # the ending stays: matplotlib takes the format from it
    try:
        with with_path_in_error(path):
            yield draft
            os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def as_json(value):
    return json.dumps(value, indent=2, default=str) + "\n"


def write_json(path, value):
    with write_atomically(path) as draft:
        draft.write_text(as_json(value))


def write_csv(path, table):
    """A DataFrame as CSV; .gz is compressed without name and time, so that equal tables give equal bytes."""
    text = table.to_csv(index=False).encode()
    with write_atomically(path) as draft:
        draft.write_bytes(gzip.compress(text, mtime=0) if str(path).endswith(".gz") else text)


def hash_json(value):
    """Short hash (16 hex digits) of a JSON-like value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def code_fingerprint(*files):
    """Hash of what source files *do*: their syntax trees without comments, layout and docstrings."""
    return hash_json([code_only(Path(file).read_text()) for file in files])


def code_only(source):
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)
