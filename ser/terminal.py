"""What a command prints: lines of at most 100 columns, numbers with their noun, durations, bars of progress."""
import sys
import textwrap

from tqdm import tqdm

WIDTH = 100             # columns


def say(text):
    """Print text in lines of at most WIDTH columns; nothing of "". A longer path stays in one piece."""
    for line in text.split("\n") if text else ():
        print(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))


def say_table(names, rows, left=1):
    """Print a table, each column as wide as its widest cell, in lines of at most WIDTH columns: columns that find no
    room are left out from the right.

    names : of the columns; rows : [(cell, ...), ...] of str; left : how many columns are flush left
    returns the names of the columns left out
    """
    widths = [max(map(len, column)) for column in zip(names, *rows)]
    shown = len(names)
    while shown > 1 and sum(widths[:shown]) + shown - 1 > WIDTH:
        shown -= 1
    for row in (names, *rows):
        cells = [cell.ljust(width) if number < left else cell.rjust(width)
                 for number, (cell, width) in enumerate(zip(row[:shown], widths))]
        print(" ".join(cells).rstrip())
    return names[shown:]


def plural(count, noun, nouns=None):
    """"1 clip", "1440 clips"; `nouns` where an s does not do: plural(2, "entry", "entries")."""
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"


def duration(seconds):
    """"0.4 s", "45 s", "2 min 8 s", "1 h 25 min"."""
    if seconds < 0.05:
        return "<0.1 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    in_hours = seconds >= 3599.5
    first, rest = divmod(round(seconds / 60) if in_hours else round(seconds), 60)
    unit, smaller = ("h", "min") if in_hours else ("min", "s")
    return f"{first} {unit}" + (f" {rest} {smaller}" if rest else "")


def rough_duration(seconds):
    """A duration that is only estimated: "20 s", "4 min 30 s", "35 min", "1 h 25 min"."""
    step = 10 if seconds < 55 else 30 if seconds < 570 else 60 if seconds < 3570 else 300
    return duration(max(1, round(seconds / step)) * step)


class Bar(tqdm):
    """A bar of progress on standard error, where that is a terminal; the time left in the words of `rough_duration`."""
    def __init__(self, *args, **options):
        super().__init__(*args, **{"disable": None, "file": sys.stderr, "bar_format": (
            "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{time_left}")} | options)

    @property
    def format_dict(self):
        facts = super().format_dict
        done = facts["n"] - facts["initial"]
        return facts | {"time_left": time_left(done, (facts["total"] or 0) - facts["n"], facts["elapsed"])}


def time_left(done, left, elapsed):
    """", about 2 min left", where `done` things took `elapsed` seconds and `left` are to come; "" where none is."""
    return f", about {rough_duration(elapsed / done * left)} left" if done and left else ""
