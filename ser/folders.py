"""Folders that are whole or absent, and say so: each has a manifest.json with the size and SHA-256 of its files.

    write_folder(folder, {"metrics.json": text, ...})       in place of an older one
    with new_folder(folder) as draft: ...                   to fill; kept if another process was faster
    find_damage(folder)                                     None, or what does not match: "predictions.csv is cut ..."

The folder of a fit and the entries of the cache are such.
"""
import contextlib
import errno
import functools
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

from ser.errors import with_path_in_error
from ser.files import DRAFT, as_json, draft_path, file_sha256, this_machine

MANIFEST = "manifest.json"
NO_MANIFEST = f"{MANIFEST} is missing"       # as of a folder that an earlier version wrote
OLD = ".old-"                   # how the name begins of a folder that is being replaced; then as a draft's
ABANDONED_SECONDS = 24 * 3600   # a draft of another machine is taken for abandoned after this
DRAFT_NAME = re.compile(rf"({re.escape(DRAFT)}|{re.escape(OLD)})([0-9a-f]{{6}})-(\d+)-[0-9a-f]{{8}}-(.+)")


# -- writing ---------------------------------------------------------------------------------------
@contextlib.contextmanager
def new_folder(folder, replace=False):
    """A draft to fill, which gets its manifest and is then renamed to `folder`.

    replace : take the place of an older one; else one that is there by then, of another process, is kept
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    clear_drafts(folder.parent)
    draft = draft_path(folder)
    draft.mkdir()
    try:
        yield draft
        write_manifest(draft)
        if replace:
            put_in_place(draft, folder)
        else:
            try:
                os.replace(draft, folder)
            except OSError:
                if not folder.exists():
                    raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_manifest(folder):
    """manifest.json of the files in a folder, as they are; those for people (.md) are left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md")
    (folder / MANIFEST).write_text(as_json({path.relative_to(folder).as_posix(): facts_of_file(path)
                                            for path in files if path.name != MANIFEST}))


def put_in_place(draft, folder):
    """Rename a draft to `folder`. A folder cannot be replaced in one step: the older one is moved aside first, and
    `clear_drafts` moves it back where the process ended in between."""
    while True:
        old = draft_path(folder)
        old = old.with_name(old.name.replace(DRAFT, OLD, 1))
        with contextlib.suppress(FileNotFoundError):
            os.replace(folder, old)
        try:
            os.replace(draft, folder)
        except OSError as problem:
            if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST) and not folder.exists():
                with contextlib.suppress(OSError):
                    os.replace(old, folder)
                raise
            shutil.rmtree(old, ignore_errors=True)
            continue                            # another process put its own there in between
        shutil.rmtree(old, ignore_errors=True)
        return


def write_folder(folder, files):
    """A folder of {file name: bytes or text}; replaces an older one."""
    with new_folder(folder, replace=True) as draft:
        for name, content in files.items():
            with with_path_in_error(Path(folder) / name):
                (draft / name).write_bytes(content.encode() if isinstance(content, str) else content)


def clear_drafts(parent):
    """Remove what processes that are gone left unfinished in a folder; put back what one of them had moved aside."""
    for path in list(parent.glob(".*-*-*-*")):
        found = DRAFT_NAME.fullmatch(path.name)
        if not found or not is_abandoned(path, found[2], int(found[3])):
            continue
        whole = path.with_name(found[4])
        if found[1] == OLD and not whole.exists():
            with contextlib.suppress(OSError):          # another process did so
                os.replace(path, whole)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def is_abandoned(path, machine, process):
    """Whether the process that made a draft is gone."""
    if machine == this_machine() and os.name == "posix":
        try:
            os.kill(process, 0)                         # asks whether there is such a process
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime > ABANDONED_SECONDS
    return False


# -- reading ---------------------------------------------------------------------------------------
def facts_of_file(path):
    return dict(bytes=path.stat().st_size, sha256=file_sha256(path))


def find_damage(folder, names=None):
    """What of a folder does not match its manifest, as text; None where all does. names : look at these files alone"""
    manifest = Path(folder) / MANIFEST
    try:
        known = json.loads(manifest.read_text())
        if not isinstance(known, dict) or not all(isinstance(facts, dict) for facts in known.values()):
            raise ValueError
    except FileNotFoundError:
        return NO_MANIFEST
    except (OSError, ValueError):
        return f"{MANIFEST} is not readable"
    for name in known if names is None else [name for name in names if name in known]:
        path = Path(folder) / name
        if not path.is_file():
            return f"{name} is missing"
        size = path.stat().st_size
        if size != known[name].get("bytes"):
            return f"{name} has {size} bytes, not {known[name].get('bytes')}"
        if sha256_once(str(path), size, path.stat().st_mtime_ns) != known[name].get("sha256"):
            return f"{name} has changed"
    return None


@functools.lru_cache(maxsize=4096)
def sha256_once(path, size, changed):
    """The hash of a file, read once as long as its size and time stay."""
    return file_sha256(path)


def discard_damaged(folder):
    """Remove an entry of a cache that does not match its manifest, with a line on standard error."""
    damage = find_damage(folder) if Path(folder).exists() else None
    if damage:
        print(f"{folder}: damaged ({damage}), made anew", file=sys.stderr)
        shutil.rmtree(folder)
