"""Folders that are whole or absent: manifests, damage of every kind, processes that race or are killed."""
import errno
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from commands import ROOT
from sounds import files_of

from ser import folders
from ser.files import DRAFT, draft_path, this_machine

FILES = {"metrics.json": "{}", "table.csv": "a,b\n1,2\n", "model.npz": bytes(range(256))}


@pytest.fixture
def folder(tmp_path):
    folders.write_folder(tmp_path / "fit", FILES)
    return tmp_path / "fit"


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_written_with_its_manifest(folder, tmp_path):
    assert names_in(folder) == sorted([*FILES, folders.MANIFEST]) and names_in(tmp_path) == ["fit"]
    assert (folder / "model.npz").read_bytes() == FILES["model.npz"]
    assert folders.find_damage(folder) is None


@pytest.mark.parametrize("damage, what", [
    (lambda folder: (folder / "table.csv").write_text("a,b\n"), r"table\.csv has 4 bytes, not 8"),
    (lambda folder: (folder / "table.csv").write_text("a,b\n1,3\n"), r"table\.csv has changed"),     # one bit
    (lambda folder: (folder / "table.csv").unlink(), r"table\.csv is missing"),
    (lambda folder: (folder / folders.MANIFEST).unlink(), r"manifest\.json is missing"),
    (lambda folder: (folder / folders.MANIFEST).write_text("{ half"), r"manifest\.json is not readable"),
    (lambda folder: (folder / folders.MANIFEST).write_text("[1]"), r"manifest\.json is not readable")],
    ids=["cut", "a bit", "gone", "no manifest", "half a manifest", "another manifest"])
def test_damage_is_found_and_an_entry_of_a_cache_removed(folder, damage, what, capsys):
    damage(folder)
    found = folders.find_damage(folder)
    assert re.fullmatch(what, found)
    folders.discard_damaged(folder)
    assert not folder.exists() and f"fit: damaged ({found}), made anew" in capsys.readouterr().err


def test_damage_is_looked_for_in_the_files_that_are_named(folder):
    (folder / "model.npz").write_bytes(b"")
    assert folders.find_damage(folder, ["metrics.json", "history.csv"]) is None


def test_an_older_folder_is_replaced_as_a_whole(folder, tmp_path):
    folders.write_folder(folder, {"metrics.json": "new"})
    assert names_in(folder) == [folders.MANIFEST, "metrics.json"] and names_in(tmp_path) == ["fit"]


def test_what_cannot_be_written_leaves_the_older_folder(folder, tmp_path):
    with pytest.raises(OSError, match="fit/no folder/model.keras"):
        folders.write_folder(folder, {"no folder/model.keras": b"bytes"})
    assert folders.find_damage(folder) is None and names_in(tmp_path) == ["fit"]


def write_often(folder, text, times):
    for _ in range(times):
        folders.write_folder(folder, {"metrics.json": text, "table.csv": text * 1000})


def test_processes_that_write_the_same_folder_leave_one_of_theirs_whole(tmp_path):
    folder, start = tmp_path / "fit", multiprocessing.get_context("spawn")
    writers = [start.Process(target=write_often, args=(folder, text, 60)) for text in ("old", "new", "other")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert folders.find_damage(folder) is None and names_in(tmp_path) == ["fit"]
    text = (folder / "metrics.json").read_text()
    assert text in ("old", "new", "other") and (folder / "table.csv").read_text() == text * 1000


KILLED_WRITER = """
import sys; sys.path.insert(0, sys.argv[1])
from ser import folders
print("ready", flush=True)
while True:
    folders.write_folder(sys.argv[2], {"metrics.json": "new", "table.csv": "new" * 1000})
"""


def test_a_process_killed_at_any_moment_leaves_the_old_or_the_new(folder, tmp_path):
    for number in range(12):
        writer = subprocess.Popen([sys.executable, "-c", KILLED_WRITER, str(ROOT), str(folder)], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(0.01 + 0.0007 * number)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        folders.clear_drafts(tmp_path)
        assert folders.find_damage(folder) is None and names_in(tmp_path) == ["fit"]


def gone_process():
    """The id of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def draft_of(process, folder, start=DRAFT, machine=None):
    return folder.with_name(f"{start}{machine or this_machine()}-{process}-01234567-{folder.name}")


def test_drafts_of_processes_that_are_gone_are_cleared_and_no_others(folder, tmp_path):
    gone, own, elsewhere = (draft_of(gone_process(), folder), draft_path(folder),
                            draft_of(1, folder, machine="abcdef"))
    for draft in (gone, own, elsewhere):
        draft.mkdir()
    gone_file, other = draft_of(gone_process(), tmp_path / "table.csv"), tmp_path / ".draft-of-a-letter-to-you"
    gone_file.write_text("half")
    other.write_text("mine")
    folders.clear_drafts(tmp_path)
    assert set(names_in(tmp_path)) == {"fit", own.name, elsewhere.name, other.name}
    os.utime(elsewhere, (0, 0))                                         # of another machine, abandoned long ago
    folders.clear_drafts(tmp_path)
    assert set(names_in(tmp_path)) == {"fit", own.name, other.name}


def test_a_folder_moved_aside_by_a_process_that_is_gone_comes_back(folder, tmp_path):
    folder.rename(draft_of(gone_process(), folder, folders.OLD))
    folders.clear_drafts(tmp_path)
    assert folders.find_damage(folder) is None and names_in(tmp_path) == ["fit"]
    shutil.copytree(folder, draft_of(gone_process(), folder, folders.OLD))
    folders.clear_drafts(tmp_path)                                      # the new one is in place already
    assert names_in(tmp_path) == ["fit"]


def test_a_new_folder_does_not_replace_that_of_a_faster_process(tmp_path):
    with folders.new_folder(tmp_path / "entry") as draft:
        (draft / "x").write_text("mine")
        folders.write_folder(tmp_path / "entry", {"x": "of another"})
    assert (tmp_path / "entry" / "x").read_text() == "of another" and len(files_of(tmp_path)) == 2


def test_a_process_that_is_faster_at_the_last_moment_is_no_error(tmp_path, monkeypatch):
    """Its folder appears after the look whether there is one, and before the rename."""
    rename = os.replace

    def overtaken(old, new):
        monkeypatch.setattr(folders.os, "replace", rename)
        folders.write_folder(tmp_path / "entry", {"x": "of another"})
        rename(old, new)

    with folders.new_folder(tmp_path / "entry") as draft:
        (draft / "x").write_text("mine")
        monkeypatch.setattr(folders.os, "replace", overtaken)
    assert (tmp_path / "entry" / "x").read_text() == "of another" and names_in(tmp_path) == ["entry"]


def test_a_block_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), folders.new_folder(tmp_path / "entry") as draft:
        (draft / "x").write_text("half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_two_processes_that_replace_an_older_folder_at_once_are_no_error(folder, monkeypatch):
    """The other one's folder is there when this one is renamed, and moved aside again right after."""
    rename, calls = os.replace, []

    def overtaken(old, new):
        calls.append(new)
        if len(calls) == 2:                         # 1: the older one moved aside
            raise OSError(errno.ENOTEMPTY, "Directory not empty")
        rename(old, new)

    monkeypatch.setattr(folders.os, "replace", overtaken)
    folders.write_folder(folder, {"x": "newer"})
    assert (folder / "x").read_text() == "newer" and names_in(folder.parent) == [folder.name]
