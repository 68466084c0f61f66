"""README and docs/: their numbers are those of reference/; their links, files, flags and names exist."""
import functools
import itertools
import re
import subprocess
import sys

import pandas as pd
import pytest
from commands import HANG_SECONDS, ROOT

import config
import features
import viz
from ser import splits
from study import runs

MAX_README_LINES = 160
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED_PAGES = [*PAGES, ROOT / "EXPERIMENTS.md", *sorted((ROOT / "benchmarks").glob("*.md"))]
COMMAND = re.compile(r"python ([\w/]+\.py)\b([^`#\n|&)]*)")
FILE = re.compile(r"[\w./-]+\.(?:py|md|txt|json|npz|csv\.gz|csv|html|keras|tflite)\b")
EXAMPLES = {"my.csv"}                   # a user's file, in examples
OLD_WORDS = r"\bcommittee|--cv\b|--committee\b|settings_hash|\bMEMBERS\b|\bLIFTER\b|\bCOPIES\b|usual\.py|growth\.py"
ROWS = {"ensemble": ("all", "ensemble"), "SVM on DTW distances": ("mfcc", "dtw"), "CNN": ("mfcc", "cnn1d"),
        "CNN+LSTM hybrid": ("mfcc", "hybrid"), "BiLSTM": ("mfcc", "bilstm"), "MLP on functionals": ("mfcc", "mlp")}
MODELS = {"ensemble": "ensemble", "SVM on DTW": "dtw", "SVM on functionals": "svm", "CNN-1D": "cnn1d",
          "CNN + LSTM": "hybrid", "BiLSTM": "bilstm", "MLP": "mlp"}
FEATURES = {"all": "all", "MFCC, mel and Gaussian side by side": "all", "MFCC (40)": "mfcc", "log-mel (128)": "mel",
            "Gaussian cepstra (40)": "gauss"}

name_of = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def plain(cell):
    return cell.strip().strip("*")


def table_rows(page, heading):
    """Cells of the rows, without the header, of the first table below a heading: [[text, ...], ...]"""
    below = page.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0].splitlines()
    below = itertools.dropwhile(lambda line: not line.startswith("|"), below)
    lines = list(itertools.takewhile(lambda line: line.startswith("|"), below))
    return [[plain(cell) for cell in line.split("|")[1:-1]] for line in lines[2:]]


def percent(row, name):
    """"88.7 ± 1.5" from a row with <name>_mean and <name>_std."""
    return f"{100 * row[f'{name}_mean']:.1f} ± {100 * row[f'{name}_std']:.1f}"


def duration(row):
    """"170 s" or "21 min" of a row of summary.csv."""
    return f"{row.fit_seconds:.0f} s" if row.fit_seconds < 600 else f"{row.fit_seconds / 60:.0f} min"


def agrees(text, *fractions):
    """Whether the numbers of a text are these fractions in per cent.

    The fractions come from a table of four decimals: half of its last place is added to half of the text's.
    """
    numbers = [float(number) for number in re.findall(r"\d+\.\d", text)]
    return len(numbers) == len(fractions) and all(
        abs(number - 100 * fraction) < 0.05 + 0.005 + 1e-9 for number, fraction in zip(numbers, fractions))


def other_splits():
    """reference/other_splits.csv by protocol name, features, feature and model."""
    table = pd.read_csv(ROOT / "reference/other_splits.csv")
    seed = table.command.str.extract(r"--seed (\d+)")[0]
    table["split"] = table.command.str.extract(r"--protocol (\w+)")[0].fillna("seed " + seed)
    table["two_features"] = table.command.str.contains("--features mfcc gauss")
    return table


# -- numbers ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("folder, heading, n_rows", [("reference", "Speaker-dependent: the full table", 21),
                                                     ("reference/described", "The recipe `described`", 14)])
def test_the_full_tables_are_the_published_runs(folder, heading, n_rows):
    summary, rows = runs.read_run(ROOT / folder).summary, table_rows(ROOT / "docs/results.md", heading)
    assert len(rows) == len(summary) == n_rows
    for cells, (_, row) in zip(rows, summary.iterrows()):
        accuracy, uar, weighted, macro = (percent(row, name) for name in ("accuracy", "uar", "weighted_f1", "macro_f1"))
        p = "" if pd.isna(row.p_against_best) else f"{row.p_against_best:.2f}".replace("0.00", "<0.01")
        interval = f"{100 * row.accuracy_low:.1f} to {100 * row.accuracy_high:.1f}"
        assert cells[2:] == [accuracy, interval, uar, weighted, macro, p, f"{row.parameters:,}", duration(row)], cells
        assert next(MODELS[name] for name in MODELS if cells[0].startswith(name)) == row.model, cells
        assert FEATURES[cells[1]] == row.feature, cells


def test_the_short_table_is_the_published_runs():
    summary, described = (runs.read_run(ROOT / folder).summary.set_index(["feature", "model"])
                          for folder in ("reference", "reference/described"))
    rows = table_rows(ROOT / "README.md", "Results at a glance")
    assert len(rows) == len(ROWS)
    for cells, (name, key) in zip(rows, ROWS.items()):
        assert cells[0].startswith(name)
        row = summary.loc[key]
        assert [cells[1], *cells[3:]] == [percent(row, "accuracy"), f"{row.parameters:,}", duration(row)]
        assert cells[2] == (percent(described.loc[key], "accuracy") if key in described.index else ""), cells


def new_speakers():
    """reference/new_speakers.csv, with the protocol's name and the features beside each row."""
    table = pd.read_csv(ROOT / "reference/new_speakers.csv")
    table["split"] = table.command.str.extract(r"--protocol (\w+)")[0].fillna("stratified")
    return table.assign(given=table.command.str.extract(r"--features ([\w ]+?) --")[0],
                        adapted=table.command.str.contains("--adapt speaker"))


def test_the_table_of_new_speakers_is_that_of_reference():
    table = new_speakers().query("model == 'ensemble'").set_index(["split", "given", "adapted"])
    keys = [("mfcc", False), ("whisper", False), ("whisper", True)]
    text = (ROOT / "README.md").read_text().split("**New speakers**")[1].split("\n\n")[1].splitlines()[2:]
    for (given, adapted), line in zip(keys, text, strict=True):
        cells = [plain(cell) for cell in line.split("|")[1:-1]]
        for cell, split in zip(cells[1:], ("luna_jimenez", "emobox"), strict=True):
            row = table.loc[split, given, adapted]
            assert agrees(cell, row.accuracy_mean, row.accuracy_std, row.uar_mean, row.uar_std), (cells, split)


def test_the_long_table_of_new_speakers_is_that_of_reference():
    """A row of docs/results.md for each row of the file, in its order; the command stands where it changes."""
    table, rows = new_speakers(), table_rows(ROOT / "docs/results.md", "New speakers")
    assert len(rows) == len(table)
    for cells, (_, row) in zip(rows, table.iterrows()):
        assert cells[1] == f"{row.feature} {row.model}".removeprefix("all "), cells
        assert agrees(cells[2], row.accuracy_mean, row.accuracy_std, row.accuracy_low, row.accuracy_high), cells
        assert agrees(cells[3], row.uar_mean, row.uar_std), cells
        assert agrees(cells[4], row.calibration_error, row.calibration_error_after), cells
        if cells[0]:
            command = re.search(r"`(python train.py [^`]*)`", cells[0])[1]
        assert command == row.command, cells


def test_other_splits_are_those_of_reference():
    columns = ["ensemble", "dtw", "cnn1d", "hybrid", "bilstm", "mlp", "svm"]
    others, told, compared = other_splits(), None, 0
    for cells in table_rows(ROOT / "docs/results.md", "Speaker-independent, and other splits"):
        told = told if cells[0].startswith("the same") else cells[0]          # a row of other scores of the same run
        protocol = re.search(r"--protocol (\w+)", told)[1]
        chosen = others[(others.split == protocol) & (others.two_features == ("gauss" in told))].set_index("model")
        name = "uar" if "UAR" in cells[0] else "accuracy"
        assert {model for model, cell in zip(columns, cells[1:8]) if cell} == set(chosen.index), cells[0]
        for model in chosen.index:
            cell, row = cells[1 + columns.index(model)], chosen.loc[model]
            assert agrees(cell, row[f"{name}_mean"], row[f"{name}_std"]), (cells[0], model)
            compared += 1
        interval = re.search(r"95 % interval of (?:the )?(\w+): ([\d.]+ to [\d.]+)", cells[0])
        if interval:
            row = chosen.loc[interval[1].lower()]
            assert agrees(interval[2], row.accuracy_low, row.accuracy_high), cells[0]
    assert compared == 14 + (~others.split.str.startswith("seed")).sum()                 # of 14 rows two scores


def test_other_seeds_are_those_of_reference():
    others = other_splits().set_index(["split", "model"])
    models = ["ensemble", "dtw", "cnn1d", "hybrid", "bilstm", "svm", "mlp"]
    rows = table_rows(ROOT / "docs/results.md", "Other seeds")
    assert len(rows) == len(models)
    for model, cells in zip(models, rows):
        for seed, cell in zip((43, 44), cells[1:3], strict=True):            # then those before, which are not kept
            row = others.loc[f"seed {seed}", model]
            assert agrees(cell, row.accuracy_mean, row.accuracy_std), cells


# -- pages -----------------------------------------------------------------------------------------
def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= MAX_README_LINES


def anchors(page):
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED_PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path) if path else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


@functools.cache
def sources():
    return "".join(path.read_text() for folder in (".", "ser", "study") for path in (ROOT / folder).glob("*.py"))


@name_of
def test_named_files_exist(page):
    """In the project, or in what a run writes: then the code has the name."""
    for name in set(FILE.findall(page.read_text())) - EXAMPLES:
        places = [ROOT / name, page.parent / name, ROOT / "reference" / name]
        written = re.search(rf"[\"'/]{re.escape(name.split('/')[-1])}[\"'\s]", sources())
        assert any(place.exists() for place in places) or written, name


@pytest.mark.parametrize("page", LINKED_PAGES, ids=lambda page: page.name)
def test_old_words_are_gone(page):
    assert not re.findall(OLD_WORDS, page.read_text())


# -- commands and names ----------------------------------------------------------------------------
@functools.cache
def flags(script):
    done = subprocess.run([sys.executable, ROOT / script, "--help"], capture_output=True, text=True,
                          timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", done.stdout))


@name_of
def test_commands_have_these_flags(page):
    for script, arguments in COMMAND.findall(page.read_text()):
        assert (ROOT / script).exists(), script
        asked = set(re.findall(r"--[a-z][a-z-]*", arguments))
        assert not asked or asked <= flags(script), (script, asked - flags(script))


@name_of
def test_commands_name_what_there_is(page):
    known = {"protocol": splits.PROTOCOLS, "models": config.MODELS, "features": features.FEATURES, "set": vars(config)}
    mentioned = re.findall(r"--(protocol|models|features|set) ([\w.=]+)((?: [a-z]\w+)*)", page.read_text())
    for flag, first, others in mentioned:
        names = [first, *others.split()] if flag in ("models", "features") else [re.split("[.=]", first)[0]]
        assert set(names) - {"NAME", "..."} <= set(known[flag]), (flag, names)


def test_docs_list_every_protocol_and_figure():
    names = [re.findall(r"`(\w+)`", cells[0])[0] for cells in table_rows(ROOT / "docs/protocol.md", "The protocols")]
    assert sorted(names) == sorted(splits.PROTOCOLS)
    cells = " ".join(row[0] for row in table_rows(ROOT / "docs/usage.md", "Figures"))
    assert sorted(re.findall(r"`([\w<>]+)`", cells)) == sorted(viz.FIGURES)
