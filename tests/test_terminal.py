"""What is printed: plurals, durations, widths."""
import pytest

from ser.terminal import WIDTH, Bar, duration, plural, rough_duration, say, say_table, time_left


def test_one_thing_is_singular():
    assert [plural(n, "clip") for n in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]
    assert [plural(n, "entry", "entries") for n in (1, 3)] == ["1 entry", "3 entries"]


@pytest.mark.parametrize("seconds, text", [
    (0, "<0.1 s"), (0.06, "0.1 s"), (0.38, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"),
    (60, "1 min"), (128.4, "2 min 8 s"), (3599.4, "59 min 59 s"), (3599.6, "1 h"), (3600, "1 h"), (5100, "1 h 25 min"),
    (7199, "2 h"), (90000, "25 h")])
def test_a_duration_is_written_in_two_units_at_most(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("seconds, text", [
    (1, "10 s"), (44, "40 s"), (54, "50 s"), (56, "1 min"), (128, "2 min"), (137, "2 min 30 s"), (590, "10 min"),
    (2000, "33 min"), (3580, "1 h"), (5130, "1 h 25 min")])
def test_an_estimate_is_rounded_and_never_nothing(seconds, text):
    assert rough_duration(seconds) == text


@pytest.mark.parametrize("seconds", [15, 40, 55, 100, 300, 569, 571, 1000, 3569, 3571, 9000, 40000])
def test_rounding_an_estimate_changes_little(seconds):
    units = {"s": 1, "min": 60, "h": 3600}
    words = rough_duration(seconds).split()
    rounded = sum(float(number) * units[unit] for number, unit in zip(words[::2], words[1::2]))
    assert abs(rounded - seconds) <= max(5, seconds / 7)


def test_text_is_wrapped_and_a_path_stays_whole(capsys):
    path = "/" + "x" * 150
    say(f"{'word ' * 60}\n{path} end")
    say("")
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if path not in line) <= WIDTH and "\n".join(lines).count("word") == 60
    assert [line.strip() for line in lines[-2:]] == [path, "end"] or lines[-1] == f"{path} end"


def test_a_table_is_as_wide_as_its_cells_and_never_wider_than_the_terminal(capsys):
    assert say_table(("name", "score", "note"), [("a" * 10, "1", "x"), ("b", "22", "y")], left=1) == ()
    assert capsys.readouterr().out.splitlines() == [
        "name       score note", "aaaaaaaaaa     1    x", "b             22    y"]
    absent = say_table(("name", "score", "note"), [("a" * 60, "1" * 39, "x")], left=1)
    lines = capsys.readouterr().out.splitlines()
    assert absent == ("note",) and len(lines[1]) == WIDTH and "note" not in lines[0]


def test_a_bar_is_silent_where_nobody_looks(capsys):
    for _ in Bar(range(3), total=3, desc="clips"):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_bar_gives_the_time_left_in_the_words_of_everything_else():
    assert time_left(0, 10, 5) == time_left(10, 0, 90) == ""
    assert time_left(4, 6, 80) == ", about 2 min left"
    bar = Bar(total=10, desc="clips", disable=False)
    bar.n, now = 4, bar.start_t + 80
    bar._time = lambda: now
    assert str(bar).endswith("4/10, about 2 min left") and len(str(bar)) > 40
