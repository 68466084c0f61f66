"""Files and tables: what is written to, what a spreadsheet would compute, names on one line; the cache's entries."""
import json
import os
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
from commands import HANG_SECONDS, ROOT

from ser import cache, names
from ser.errors import run_command
from ser.files import as_csv, read_csv, write_atomically, write_csv, write_json

NAMES = ["=1+1", "+49", "-1", "@home", "'=quoted", "\tTab", "01", "1", "anna", "O'Brien", "'", "", "None", "NA", "true"]


# -- where it is written ---------------------------------------------------------------------------
def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/table.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real/table.csv")
    with write_atomically(tmp_path / "link.csv") as path:
        path.write_text("new")
    assert (tmp_path / "link.csv").is_symlink() and (tmp_path / "real/table.csv").read_text() == "new"
    assert len(list((tmp_path / "real").iterdir())) == 1


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_csv(tmp_path / "pipe", pd.DataFrame({"a": [1]}))
    reader.join(HANG_SECONDS)
    assert read == ["a\n1\n"] and (tmp_path / "pipe").is_fifo()


def test_a_device_is_written_to():
    write_csv("/dev/null", pd.DataFrame({"a": [1]}))
    assert not os.path.isfile("/dev/null")
    program = "import pandas as pd; from ser.files import write_csv; write_csv('/dev/stdout', pd.DataFrame({'a': [1]}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
                          timeout=HANG_SECONDS)
    assert done.returncode == 0 and done.stdout == "a\n1\n", done.stderr


def test_a_folder_is_not_written_over(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_csv(tmp_path / "folder", pd.DataFrame({"a": [1]}))
    assert (tmp_path / "folder").is_dir() and len(list(tmp_path.iterdir())) == 1


def test_a_reader_that_closes_the_output_ends_a_command_quietly():
    program = ("from ser.errors import run_command; import sys\n"
               "run_command('x', lambda _: [print('line', flush=True) for _ in range(100_000)], None)")
    words = f"{sys.executable} -c \"$1\" | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", words, "bash", program], cwd=ROOT, capture_output=True, text=True,
                          timeout=HANG_SECONDS)
    assert (done.stdout, done.stderr, done.returncode) == ("line\n", "", 141)


def test_another_broken_pipe_is_an_error(capsys):
    def fails(_):
        raise BrokenPipeError(32, "Broken pipe", "a socket")

    with pytest.raises(SystemExit) as stop:
        run_command("x.py", fails, None)
    assert stop.value.code == 2 and "x.py: error: [Errno 32] Broken pipe: 'a socket'" in capsys.readouterr().err


# -- names -----------------------------------------------------------------------------------------
def test_no_name_is_computed_by_a_spreadsheet_and_all_come_back(tmp_path):
    table = pd.DataFrame({"file": NAMES, "true": NAMES[::-1], "mood": NAMES, "p_=x": 0.5})
    write_csv(tmp_path / "a.csv", table)
    raw = pd.read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)
    assert not any(cell[:1] in "=+-@\t" and cell for name in ("file", "true", "mood") for cell in raw[name])
    again = read_csv(tmp_path / "a.csv").fillna("")
    for column in ("file", "true", "mood"):
        assert list(again[column]) == list(table[column])


def test_numbers_are_not_touched():
    assert as_csv(pd.DataFrame({"a": [-1.5], "b": [-2]})) == "a,b\n-1.5,-2\n"


def test_an_actor_is_read_back_as_text(tmp_path):
    write_csv(tmp_path / "a.csv.gz", pd.DataFrame({"actor": ["01", "1", "2"], "x": [1, 2, 3]}))
    again = read_csv(tmp_path / "a.csv.gz")
    assert list(again.actor) == ["01", "1", "2"] and again.x.sum() == 6


@pytest.mark.parametrize("name, shown", [("a.wav", "a.wav"), ("a\nb\x00.wav", "a\\x0ab\\x00.wav"),
                                         ("caf\u00e9", "caf\u00e9"), ("caf\udce9", "caf\\udce9")])
def test_names_are_shown_on_one_line(name, shown):
    assert names.printable(name) == shown


def test_numbers_are_sorted_by_value_and_before_words():
    assert names.in_order(["b", "10", "9", "a", "01", "1", "9"]) == ["01", "1", "9", "10", "a", "b"]
    assert names.in_order([10, 9, 2]) == [2, 9, 10]


def test_a_name_in_markdown_is_neither_link_nor_tag():
    assert names.in_markdown("[x](http://a) <b>|`") == r"\[x\](http://a) \<b\>\|\`"


# -- cache -----------------------------------------------------------------------------------------
def test_entries_that_no_run_uses_are_named_and_removed(tmp_path):
    for name in ("features-mfcc-old", "features-mfcc-used", "features-mel-now", "features-mel-young", "survey-x"):
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "x.npy").write_bytes(bytes(2 * 10**8 if name.endswith("old") else 1))
        if not name.endswith("young"):
            os.utime(tmp_path / "cache" / name, (time.time() - 10**5,) * 2)
    write_json(tmp_path / "results/default/config.json", {"cache_entries": ["features-mfcc-used"]})
    (tmp_path / "results/other").mkdir()
    (tmp_path / "results/other/config.json").write_text("{ half")
    places = (tmp_path / "cache", tmp_path / "results")
    assert list(cache.unused_entries(*places, ["features-mel-now"])) == [tmp_path / "cache/features-mfcc-old"]
    assert cache.cache_report(*places, ["features-mel-now"]).endswith(
        "1 entry that no run uses, 0.2 GB; python data_preprocessing.py --clear-cache removes them")
    assert cache.clear_cache(*places).endswith("2 entries removed, 0.2 GB")
    assert sorted(path.name for path in places[0].iterdir()) == ["features-mel-young", "features-mfcc-used", "survey-x"]
    assert cache.cache_report(*places) == "" and json.loads((tmp_path / "results/default/config.json").read_text())
