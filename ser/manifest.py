"""A manifest: a CSV that lists clips of one's own -> a row per clip.

    path,emotion,speaker[,recording,split,sex,intensity,statement,repetition]

Read as Excel and Windows write it, too: UTF-16, a first line `sep=,`, backslashes in paths, empty rows, the first line
repeated.
"""
import codecs
import io
import os
import re
from pathlib import Path

import pandas as pd

from ser.errors import UserError
from ser.names import composed, differ_in_capitals, printable
from ser.terminal import plural

REQUIRED_COLUMNS = ("path", "emotion", "speaker")
OPTIONAL_COLUMNS = ("recording", "split", "sex", "intensity", "statement", "repetition")
SPLITS = ("train", "validation", "test")
# What another reader of the tables of a run takes for something else than a word.
RESERVED_WORDS = {
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL",
    "NaN", "None", "n/a", "nan", "null", "True", "TRUE", "true", "False", "FALSE", "false"}


def read_manifest(path):
    """{file: row} of the clips that a CSV lists, as in corpora.Corpus, and what was left out, {reason: [name, ...]}.

    raises : UserError, naming the line where it can
    """
    table = read_table(path)
    check_columns(path, table)
    names = [name for name in table if name != "path"]              # paths are as they are on the disk
    table[names] = table[names].map(composed)
    check_cells(path, table)
    files = {name: find_file(path.parent, name) for name in table.path}
    absent = [name for name, file in files.items() if not file.is_file()]
    if absent:
        raise UserError(f"{path}: {len(absent)} of its {plural(len(table), 'file')} not found, such as "
                        f"{printable(absent[0])} (paths are relative to {path.parent})")
    columns = [name for name in table if name in {*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS}]
    facts = [name for name in columns if name not in ("path", "speaker")]
    rows = {row["path"].replace("\\", "/"): dict({name: row[name] for name in facts}, actor=row["speaker"],
                                                 path=str(files[row["path"]])) for row in table.to_dict("records")}
    return rows, {"column not known": [name for name in table if name not in columns]}


def read_table(path):
    """The table in a CSV, all of it text; its index is the number of the line. raises : UserError"""
    try:
        content = Path(path).read_bytes()
        encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        text = content.decode(encoding)
        separator = re.match(r"\"?sep=(.)\"?\r?\n", text, re.IGNORECASE)
        text = text[separator.end():] if separator else text
        how = dict(dtype=str, sep=separator[1] if separator else ",", keep_default_na=False, skipinitialspace=True,
                   skip_blank_lines=False)
        table = pd.read_csv(io.StringIO(text), **how)
        names = pd.read_csv(io.StringIO(text), header=None, nrows=1, **how).iloc[0]     # pandas renames doubled ones
    except FileNotFoundError as problem:
        raise UserError(f"{path}: no such file") from problem
    except (OSError, ValueError) as problem:            # pandas's errors are ValueErrors
        hint = "; save it as UTF-8" if isinstance(problem, UnicodeError) else ""
        raise UserError(f"{path}: not readable as CSV ({problem}){hint}") from problem
    if not isinstance(table.index, pd.RangeIndex):
        raise UserError(f"{path}: its lines have more fields than its first line names; is there a comma at their end?")
    table.columns = [(name.strip() or renamed).lower() for name, renamed in zip(names, table.columns)]
    table.index += 3 if separator else 2
    table = table.fillna("").map(str.strip)
    again = (table == list(table.columns)).all(axis=1)                              # the first line once more
    return table[(table != "").any(axis=1) & ~again].copy()


def check_columns(path, table):
    """raises : UserError for columns that are missing or there twice."""
    missing = [name for name in REQUIRED_COLUMNS if name not in table]
    if missing and re.search("[;\t]", table.columns[0]):
        raise UserError(f"{path}: its first line is {table.columns[0]!r}; save it with commas between the fields")
    if missing:
        raise UserError(f"{path}: no column {missing[0]!r}; the first line of a manifest is "
                        f"{','.join(REQUIRED_COLUMNS)}[,{','.join(OPTIONAL_COLUMNS)}]")
    doubled = table.columns[table.columns.duplicated()]
    if len(doubled):
        raise UserError(f"{path}: two of its columns are called {doubled[0]!r}")


def check_cells(path, table):
    """raises : UserError, naming the line, for a cell that cannot be used."""
    for name in [*REQUIRED_COLUMNS, *(name for name in OPTIONAL_COLUMNS if name in table)]:
        blank = table.index[table[name] == ""]
        if len(blank):
            raise UserError(f"{path}: line {blank[0]} has no {name}")
    for name in ("emotion", "speaker"):
        unfit = table.index[table[name].isin(RESERVED_WORDS) | (name == "emotion") & ~table[name].str[0].str.isalpha()
                            | (table[name].map(printable) != table[name])]
        if len(unfit):
            raise UserError(f"{path}: line {unfit[0]} has {name} {table[name][unfit[0]]!r}, which the tables of a "
                            "run would not read back as a name")
        alike = differ_in_capitals(table[name])
        if alike:
            raise UserError(f"{path}: {name}s {alike[0]!r} and {alike[1]!r} differ in capitals only; write one of them")
    if table.emotion.nunique() < 2:
        raise UserError(f"{path}: at least two emotions are needed, and it has {table.emotion.nunique()}")
    twice = table.path[table.path.str.replace("\\", "/").duplicated()]
    if len(twice):
        raise UserError(f"{path}: line {twice.index[0]} lists {printable(twice.iloc[0])} a second time")
    if "split" in table and not set(table.split) <= set(SPLITS):
        unknown = table.index[~table.split.isin(SPLITS)][0]
        raise UserError(f"{path}: line {unknown} has split {table.split[unknown]!r}, which is not one of "
                        f"{', '.join(SPLITS)}")


def find_file(folder, name):
    """The path that a manifest gives, relative to its folder; with slashes, where backslashes name no file."""
    path = folder / name
    return folder / name.replace("\\", "/") if os.sep == "/" and "\\" in name and not path.is_file() else path
