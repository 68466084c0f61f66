"""The page of a run: what it says, and that it stands alone."""
import base64
import html.parser
import io
import re
from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_viz import CLASSES, LABELS, predictions

import viz
from ser import conclusions, corpora, plots, report
from study import runs

VOID = {"meta", "img"}              # elements without an end
MAX_BYTES = 3_000_000               # of the page of a whole study
WINDOW_WIDTHS = (390, 1280)         # of a phone, of a small laptop


class Page(html.parser.HTMLParser):
    """Tags with their attributes, rows of table cells, paragraphs, and whether every tag that is opened is closed."""
    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.paragraphs, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        if self.open and self.open[-1] == "p":
            self.paragraphs[-1] += data

    def attributes(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def run(tmp_path):
    """Two models on 80 clips each; the first mistakes three `happy` for `angry`, the second is always right."""
    right = predictions(model="mlp", feature="mel")
    table = pd.concat([predictions(), right.assign(predicted=right.true)], ignore_index=True)
    fits = pd.DataFrame([dict(feature=feature, model=model, fold=0, protocol="as <it> was",
                              validation_accuracy=validation, accuracy=accuracy, uar=accuracy, weighted_f1=accuracy,
                              macro_f1=accuracy, parameters=1234, fit_seconds=5.0)
                         for feature, model, accuracy, validation in (("mfcc", "cnn1d", 77 / 80, 0.9),
                                                                      ("mel", "mlp", 1.0, 0.8))])
    clips = pd.DataFrame(dict(file=table.file[:80], actor=table.actor[:80], emotion=table.true[:80], seconds=3.0))
    config = dict(protocol="as <it> was", command="python train.py", data="RAVDESS speech",
                  classes=list(CLASSES), speaker_independent=False, n_folds=1)
    return SimpleNamespace(folder=tmp_path, config=config, environment={"python": "3"}, clips=clips, fits=fits,
                           predictions=table, summary=runs.summarise(fits, table, 1))


@pytest.fixture
def pictures(tmp_path):
    """A picture of each name that viz.py has, of two models, and one that only its user knows."""
    Image.linear_gradient("L").resize((1200, 300)).save(tmp_path / "grey.png")
    stems = [name for name in viz.FIGURES if "<" not in name]
    stems += ["curves_cnn1d", "curves_mlp", "confusion_mfcc_cnn1d", "confusion_mel_mlp", "of_the_user"]
    return [report.Picture(stem, tmp_path / "grey.png", f"Title of {stem}", f"Read <{stem}>") for stem in stems]


@pytest.fixture
def matrix(tmp_path):
    """A figure of a study as viz.py saves it."""
    with matplotlib.rc_context(plots.STYLE):
        run = SimpleNamespace(predictions=predictions(), config={"classes": list(CLASSES)}, labels=LABELS)
        for _, figure in viz.confusions(run):
            figure.savefig(tmp_path / "confusion.png")
    return report.Picture("confusion_mfcc_cnn1d", tmp_path / "confusion.png", "1-D CNN", "")


# -- in words --------------------------------------------------------------------------------------
def words(run, missing=(0, ())):
    """The paragraphs before the first section, without breaks in numbers."""
    text = report.page(run, [], LABELS, missing).partition("<nav")[0]
    return [paragraph.replace("\N{NO-BREAK SPACE}", " ") for paragraph in Page(text).paragraphs]


def test_the_first_paragraphs_say_what_came_out(run):
    lead, tested, protocol, expected, chosen = words(run)
    assert lead == ("The best of 2 models, MLP on Mel spectrogram, classifies 100.0 % of the test clips correctly "
                    "(95 % interval 100.0 to 100.0 %; unweighted average recall 100.0 %). Guessing among the 8 "
                    "emotions gives 12.5 %, always naming the most frequent one 12.5 %.")
    assert tested.startswith("Tested on 80 clips of 4 speakers (RAVDESS speech) in 1 fold, each clip")
    assert "The speakers are known" in tested and protocol == "Protocol: as <it> was."
    assert expected == "Expect clearly less on new speakers: train.py --protocol speakers tests it."
    low, high = (100 * run.summary.loc[1, name] for name in ("accuracy_low", "accuracy_high"))
    assert chosen.endswith(f"sees no test clip, is 1-D CNN on MFCC: 96.2 % ({low:.1f} to {high:.1f} %).")


def test_a_run_of_one_model_compares_nothing(run):
    run.fits, run.predictions = run.fits[:1], run.predictions[:80].assign(actor=1)
    run.clips = run.clips.assign(actor=1)
    run.summary = runs.summarise(run.fits, run.predictions, 1)
    lead, tested, _, expected = words(run)
    assert lead.startswith("1-D CNN on MFCC classifies 96.2 % of the test clips correctly (unweighted average recall ")
    assert "of 1 speaker (" in tested and expected.endswith("with the clips of one speaker that cannot be tested.")


def test_the_choice_of_inner_validation_is_said_to_be_the_same(run):
    run.fits.loc[1, "validation_accuracy"] = 0.95
    run.summary = runs.summarise(run.fits, run.predictions, 1)
    assert words(run)[-1] == "The best model is also the best by inner validation, which sees no test clip."


def test_what_to_expect_depends_on_who_was_tested(run):
    run.clips = pd.concat([run.clips.assign(actor=actor) for actor in range(1, 25)])        # all of RAVDESS
    assert conclusions.RAVDESS == run.config["data"] == corpora.RAVDESS
    assert conclusions.expectation(run).endswith("train.py --protocol luna_jimenez tests it.")
    run.config["data"] = "EMO-DB"
    assert conclusions.expectation(run).endswith("train.py --protocol speakers tests it.")
    run.config |= dict(speaker_independent=True, adapt="speaker")
    text = " ".join(words(run))
    assert "The speakers are new to the models" in text and "are known" not in text and "clearly less" not in text
    assert "This is what to expect of new speakers who are recorded in the same way." in text
    assert "centred by each speaker's own clips" in text


def test_the_most_frequent_emotion_is_counted_among_the_tested_clips(run):
    run.predictions = run.predictions[run.predictions.true.isin(["happy"]) | (run.predictions.index % 10 == 0)]
    assert "always naming the most frequent one 58.8 %." in words(run)[0]              # 10 of 17


@pytest.mark.parametrize("kind, warning", [("demo", "not real results"), ("quick", "hardly trained")])
def test_numbers_that_mean_nothing_are_preceded_by_a_warning(run, kind, warning):
    run.config[kind] = True
    said = words(run)
    assert warning in said[0] and "the numbers mean nothing" in said[0]
    assert not any("Expect" in text or "optimistic" in text for text in said)


def test_an_unfinished_run_says_what_is_missing(run):
    run.config["n_folds"] = 5
    assert not any("Unfinished" in text for text in words(run)) and "in 1 of 5 folds, " in words(run)[1]
    assert words(run, (1, ["mel-svm fold 1"]))[0] == "Unfinished: 1 fit of this run is missing (mel-svm fold 1)."
    many = [f"mel-net{k} all folds" for k in range(9)]
    warning = words(run, (1045, many))[0]
    assert warning.startswith("Unfinished: 1,045 fits of this run are missing (mel-net0 all folds, ")
    assert warning.endswith("mel-net5 all folds and 3 more).")


def test_a_run_without_finished_fits_has_a_page_too(run):
    run.summary = run.predictions = pd.DataFrame()
    text = report.page(run, [], LABELS, (2, ["mel-svm fold 0 1"]))
    assert "80 clips" in text and "Results" not in text and "2 fits of this run are missing" in text
    assert "No fit is finished" in text


# -- the page --------------------------------------------------------------------------------------
def test_the_page_stands_alone_and_is_well_formed(run, pictures):
    run.config["data"] = "<b>&mine"
    text = re.sub('base64,[^"]+', "", report.page(run, pictures, LABELS | {"mlp": "<i>MLP"}))
    page = Page(text)
    assert text.startswith("<!doctype html>") and not page.open and "http" not in text and "as &lt;it&gt; was" in text
    assert page.attributes("html") == [{"lang": "en"}] and len(page.attributes("title")) == 1
    assert page.attributes("script") == [{}] and {"link", "iframe", "b", "i"}.isdisjoint(tag for tag, _ in page.tags)
    assert "Read &lt;tsne&gt;" in text and "&lt;b&gt;&amp;mine" in text
    assert not [attributes for _, attributes in page.tags if "href" in attributes and attributes["href"][0] != "#"]


def test_every_picture_is_there_once_and_every_section_is_linked(run, pictures):
    page = Page(report.page(run, pictures, LABELS))
    images = page.attributes("img")
    assert sorted(image["alt"] for image in images) == sorted(picture.title for picture in pictures)
    assert all(image["loading"] == "lazy" and image["src"].startswith("data:image/webp;base64,") for image in images)
    sections = [section["id"] for section in page.attributes("section")]
    assert sections == list(report.SECTIONS)
    assert [link["href"] for link in page.attributes("a")] == [f"#{name}" for name in sections]


def test_pictures_are_beside_their_tables(run, pictures):
    section = dict(re.findall('<section id="(.*?)">(.*?)</section>', report.page(run, pictures, LABELS)))
    places = {name: re.findall('alt="Title of (.*?)"', text) for name, text in section.items()}
    assert places["results"] == ["comparison"] and places["emotions"] == ["per_emotion"]
    assert places["actors"] == ["per_actor"] and places["more"] == ["of_the_user"]
    assert places["confusion"] == ["confusion", "confusion_mel_mlp", "confusion_mfcc_cnn1d"]        # the best first
    assert all("<table>" in section[name] for name in ("results", "emotions", "actors", "clips"))
    assert re.findall("<summary>(.*?)</summary>", section["confusion"]) == [
        "Title of confusion_mel_mlp", "Title of confusion_mfcc_cnn1d"]
    one = report.page(run, [picture for picture in pictures if picture.name != "confusion_mel_mlp"], LABELS)
    assert "<details>" not in one and "Title of confusion_mfcc_cnn1d" in one


def test_words_below_several_pictures_are_said_once(pictures):
    same = [picture._replace(caption="The same") for picture in pictures[:3]]
    assert report.figures(same, "").count("The same") == 1 and report.figures(same, "").count("<img") == 3


def test_the_page_of_a_study_is_small(run, matrix):
    """As many pictures as a study of all features and models has."""
    many = [matrix._replace(name=f"confusion_{k}", title=f"Title {k}") for k in range(40)]
    size = len(report.page(run, many, LABELS).encode())
    assert size < MAX_BYTES < 4 / 3 * 40 * matrix.path.stat().st_size           # as text, four bytes for three


def test_a_compressed_picture_looks_the_same(matrix):
    content, size = report.compressed(matrix.path)
    with Image.open(io.BytesIO(content)) as small, Image.open(matrix.path) as full:
        before, after = (np.asarray(image.convert("RGB")).astype(int) for image in (full, small))
        assert size == small.size == full.size
    assert (after[:5] == 255).all()                                             # paper stays white
    assert abs(after - before).mean() < 3 and abs(after - before).max() < 40    # of 255
    source = Page(report.figure(matrix, "")).attributes("img")[0]["src"]
    assert base64.b64decode(source.partition(",")[2]) == content


# -- tables ----------------------------------------------------------------------------------------
def test_its_tables_say_what_the_predictions_say(run):
    rows = Page(report.page(run, [], LABELS)).rows
    assert ["model", *CLASSES] in rows and ["model", "1", "2", "3", "4"] in rows
    assert ["1-D CNN, MFCC", "100", "100", "70", *["100"] * 5] in rows              # by emotion
    assert ["1-D CNN, MFCC", "95", "95", "95", "100"] in rows                       # by actor
    results = [row[:3] for row in rows if len(row) == 10]
    assert results == [["model", "folds", "WA (accuracy)"], ["MLP, Mel spectrogram", "1", "100.0"],
                       ["1-D CNN, MFCC", "1", "96.2"]]                                          # best first
    missed = [row for row in rows if row[0].endswith(".wav")]
    assert missed == [[f"{k}.wav", str(k % 4 + 1), "happy", "1 of 2", "angry 1"] for k in (20, 21, 22)]


def test_speakers_with_long_names_have_a_row_each(run):
    run.predictions["actor"] = run.predictions.actor.map("Speaker {}".format)
    rows = Page(report.page(run, [], LABELS)).rows
    assert ["actor", "MLP, Mel spectrogram", "1-D CNN, MFCC"] in rows
    assert ["Speaker 3", "100", "95"] in rows and ["Speaker 4", "100", "100"] in rows


@pytest.mark.parametrize("independent, kind", [(True, "speaker-independent"), (False, "speaker-dependent")])
def test_every_table_of_results_says_whether_the_speakers_were_new(run, independent, kind):
    run.config["speaker_independent"] = independent
    titles = re.findall("<h2>(.*?)</h2>", report.page(run, [], LABELS))
    assert titles == [f"Results, {kind}", f"Recall per emotion, {kind}", f"Accuracy per actor, {kind}",
                      f"The hardest clips, {kind}", "Data", "Protocol and environment"]


def test_the_columns_have_the_names_of_the_field(run):
    (head,) = [row for row in Page(report.page(run, [], LABELS)).rows if "UAR" in row]
    assert {"WA (accuracy)", "95 % interval of WA", "UAR", "weighted F1", "macro F1"} < set(head)


# -- in a browser ----------------------------------------------------------------------------------
@pytest.fixture
def opened(browser, run, pictures):
    """opened(settings of the tab): the page in a tab, with all its pictures loaded; it may not have had an error."""
    tabs, errors = [], []
    run.predictions["file"] = run.predictions.file.map(lambda name: f"a-long-name-without-an-end-{name * 9}")
    (run.folder / "report.html").write_text(report.page(run, pictures, LABELS), encoding="utf-8")

    def opened(**settings):
        tab = browser.new_page(**settings)
        tabs.append(tab)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.goto((run.folder / "report.html").as_uri())
        tab.evaluate("for (const image of document.images) image.loading = 'eager'")
        tab.wait_for_function("[...document.images].every(image => image.naturalWidth > 0)")
        return tab

    yield opened
    for tab in tabs:
        tab.close()
    assert not errors


@pytest.mark.parametrize("width", WINDOW_WIDTHS)
def test_nothing_is_cut_and_what_is_wide_scrolls_in_its_box(opened, width):
    tab = opened(viewport={"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    wide = tab.locator(".table").nth(3)
    wide.evaluate("box => { box.scrollLeft = 60; box.scrollTop = 20 }")
    first, box = wide.locator("tbody th").first.bounding_box(), wide.bounding_box()
    assert first["x"] == pytest.approx(box["x"], abs=1)                             # names of rows stay in sight


def test_a_picture_opens_in_full_size_and_closes(opened):
    tab = opened(viewport={"width": 390, "height": 800})
    image, enlarged = tab.locator("figure img").first, tab.locator("dialog img")
    small = image.bounding_box()["width"]
    image.click()
    assert enlarged.bounding_box()["width"] > 2 * small
    tab.keyboard.press("Escape")
    assert not enlarged.is_visible()


def test_a_confusion_matrix_is_picked_from_a_list(opened):
    tab = opened()
    shown = tab.locator(".picker img:visible")
    assert shown.count() == 1 and shown.get_attribute("alt") == "Title of confusion_mel_mlp"
    tab.get_by_label("Show").select_option("Title of confusion_mfcc_cnn1d")
    assert shown.count() == 1 and shown.get_attribute("alt") == "Title of confusion_mfcc_cnn1d"


def test_without_javascript_the_matrices_are_folded(browser, opened, run):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((run.folder / "report.html").as_uri())
    tab.get_by_text("Title of confusion_mfcc_cnn1d").click()
    assert tab.locator(".picker img:visible").count() == 1
    context.close()


def test_dark_pages_dim_their_pictures_and_paper_is_white(opened):
    tab = opened(color_scheme="dark")
    page, picture = "getComputedStyle(document.body).backgroundColor", "getComputedStyle(document.images[0]).filter"
    dark = tab.evaluate(page)
    assert tab.evaluate(picture).startswith("brightness(0.")
    tab.emulate_media(media="print")
    assert tab.evaluate(page) == "rgb(255, 255, 255)" != dark and tab.evaluate(picture) == "none"
