"""The page of a run: what it says, and that it stands alone."""
import html.parser
import re
from types import SimpleNamespace

import pandas as pd
import pytest
from test_viz import CLASSES, LABELS, predictions

from ser import report
from study import runs

PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000a49444154789c6300010000"
                      "0500010d0a2db40000000049454e44ae426082")


class Page(html.parser.HTMLParser):
    """Tags with their attributes, rows of table cells, and whether every tag that is opened is closed."""
    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.open, self.cell = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.fixture
def run(tmp_path):
    """Two models on 80 clips each; the first mistakes three `happy` for `angry`, the second is always right."""
    right = predictions(model="mlp", feature="mel")
    table = pd.concat([predictions(), right.assign(predicted=right.true)], ignore_index=True)
    fits = pd.DataFrame([dict(feature=feature, model=model, fold=0, protocol="as <it> was", validation_accuracy=0.5,
                              accuracy=accuracy, uar=accuracy, weighted_f1=accuracy, macro_f1=accuracy,
                              parameters=1234, fit_seconds=5.0)
                         for feature, model, accuracy in (("mfcc", "cnn1d", 77 / 80), ("mel", "mlp", 1.0))])
    clips = pd.DataFrame(dict(file=table.file[:80], actor=table.actor[:80], emotion=table.true[:80], seconds=3.0))
    config = dict(protocol="as <it> was", command="python train.py", data="RAVDESS speech",
                  classes=list(CLASSES), speaker_independent=False)
    return SimpleNamespace(folder=tmp_path, config=config, environment={"python": "3"}, clips=clips, fits=fits,
                           predictions=table, summary=runs.summarise(fits, table, 1))


def test_the_page_stands_alone_and_is_well_formed(run, tmp_path):
    (tmp_path / "confusion.png").write_bytes(PIXEL)
    text = report.page(run, [("confusion", tmp_path / "confusion.png", "Rows & columns")], LABELS)
    page = Page(text)
    assert not page.open and "http" not in text and "as &lt;it&gt; was" in text
    assert {"script", "link", "iframe"}.isdisjoint(tag for tag, _ in page.tags)
    (picture,) = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert picture.startswith("data:image/png;base64,") and "<figcaption>Rows &amp; columns" in text


def test_its_tables_say_what_the_predictions_say(run):
    rows = Page(report.page(run, [], LABELS)).rows
    assert ["happy", "100", "70"] in rows and ["sad", "100", "100"] in rows         # columns best first
    assert [row[0] for row in rows if row[0] in CLASSES] == list(CLASSES)
    assert [row[:3] for row in rows if row[0].startswith("1-D")] == [["1-D CNN, MFCC", "1", "96.2"]]
    missed = [row for row in rows if row[0].endswith(".wav")]
    assert missed == [[f"{k}.wav", "happy", "1 of 2", "angry 1"] for k in (20, 21, 22)]


def test_a_run_without_finished_fits_has_a_page_too(run):
    run.summary = run.predictions = pd.DataFrame()
    text = report.page(run, [], LABELS)
    assert "80 clips" in text and "Results" not in text


@pytest.mark.parametrize("independent, kind", [(True, "speaker-independent"), (False, "speaker-dependent")])
def test_every_table_of_results_says_whether_the_speakers_were_new(run, independent, kind):
    run.config["speaker_independent"] = independent
    titles = re.findall("<h2>(.*?)</h2>", report.page(run, [], LABELS))
    assert titles == ["Protocol", f"Results, {kind}", f"Recall per emotion, {kind}", f"Accuracy per actor, {kind}",
                      f"The hardest clips, {kind}", "Figures", "Environment"]


def test_the_columns_have_the_names_of_the_field(run):
    (head,) = [row for row in Page(report.page(run, [], LABELS)).rows if "UAR" in row]
    assert {"WA (accuracy)", "95 % interval of WA", "UAR", "weighted F1", "macro F1"} < set(head)


def test_demo_says_so(run):
    run.config["demo"] = True
    assert "not real results" in report.page(run, [], LABELS)
