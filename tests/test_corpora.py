"""File names of every corpus, manifests, and two corpora at once, on folders written here."""
import itertools
import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from sounds import clip_name, files_of, write

import config
from ser import corpora, survey
from ser.errors import UserError


def found(place):
    corpus = corpora.find_corpus(place)
    return corpus.clips, corpus.left_out


# -- names -----------------------------------------------------------------------------------------
def test_the_readme_of_ravdess():
    assert corpora.parse_name("03-01-06-01-02-01-12.wav") == {
        "modality": "audio", "channel": "speech", "emotion": "fearful", "intensity": "normal",
        "statement": 2, "repetition": 1, "actor": 12}
    emotions = {code: corpora.parse_name(clip_name(emotion=code))["emotion"] for code in corpora.FIELDS["emotion"]}
    assert emotions == {"01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful",
                        "07": "disgust", "08": "surprised"}
    assert tuple(emotions.values()) == corpora.EMOTIONS == config.CLASSES


@pytest.mark.parametrize("field, code", [(field, code) for field, codes in corpora.FIELDS.items() for code in codes])
def test_a_code_sets_its_own_field_alone(field, code):
    usual = corpora.parse_name(clip_name())
    assert corpora.parse_name(clip_name(**{field: code})) == usual | {field: corpora.FIELDS[field][code]}


def test_all_combinations_but_strong_neutral_have_a_name():
    refused = []
    for codes in itertools.product(*corpora.FIELDS.values()):
        try:
            corpora.parse_name("-".join(codes) + ".wav")
        except UserError:
            refused.append(codes)
    assert len(refused) == 3 * 2 * 2 * 2 * 24           # modality, channel, statement, repetition, actor
    assert {codes[2:4] for codes in refused} == {("01", "02")}


@pytest.mark.parametrize("field", corpora.FIELDS)
@pytest.mark.parametrize("code", ["00", "99", "1", "001", "", "x1"])
def test_an_impossible_code_is_named(field, code):
    name = clip_name(**{field: code})
    with pytest.raises(UserError, match=f"{re.escape(name)}: {field} code '{code}'"):
        corpora.parse_name(name)


@pytest.mark.parametrize("name", ["03-01-05-01-01-01.wav", "03-01-05-01-01-01-01-01.wav", "speech.wav"])
def test_a_wrong_number_of_codes_is_named(name):
    with pytest.raises(UserError, match=name):
        corpora.parse_name(name)


# -- finding ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("below", ["", "archive"])
def test_clips_are_found_in_the_folder_and_one_level_below(below, demo_folder, tmp_path):
    shutil.copytree(demo_folder, tmp_path / below, dirs_exist_ok=True)
    clips, left_out = found(tmp_path)
    assert list(clips.file) == sorted(path.name for path in files_of(demo_folder)) and len(clips) == 16
    assert clips.emotion.value_counts().to_dict() == dict.fromkeys(config.CLASSES, 2)
    assert [config.CLASSES[label] for label in clips.label] == list(clips.emotion)
    assert all(os.path.samefile(path, tmp_path / below / "Actor_01" / file)
               for path, file in zip(clips.path, clips.file, strict=True))
    assert not any(left_out.values())


def test_even_actors_are_women(tmp_path):
    for actor in ("01", "02", "23", "24"):
        write(tmp_path, f"Actor_{actor}/{clip_name(actor=actor)}")
    clips, _ = found(tmp_path)
    assert dict(zip(clips.actor, clips.sex, strict=True)) == {1: "male", 2: "female", 23: "male", 24: "female"}


def test_what_is_not_a_speech_clip_is_left_out_and_counted(mixed_folder, demo_folder):
    clips, left_out = found(mixed_folder)
    assert list(clips.path) == [str(mixed_folder / path.relative_to(demo_folder)) for path in files_of(demo_folder)]
    assert sorted(left_out.pop("second copy")) == list(clips.file)
    assert "'09'" in left_out["bad name"][0]
    assert {reason: [re.split(": ", file)[0] for file in files] for reason, files in left_out.items()} == {
        "song": ["03-02-05-01-01-01-01.wav"], "foreign file": ["._03-01-05-01-01-01-01.wav", "notes.txt"],
        "video": ["01-01-05-01-01-01-01.wav", "02-01-05-01-01-01-01.mp4"], "bad name": ["03-01-09-01-01-01-01.wav"]}


@pytest.mark.parametrize("name", ["Actor_01/03-02-05-01-01-01-01.wav", "03-01-05-01-01-01-01.wav",
                                  "one/two/Actor_01/03-01-05-01-01-01-01.wav"])
def test_no_clips_names_the_folder(name, tmp_path):
    folder = tmp_path / "wrong"
    write(folder, name)
    with pytest.raises(UserError, match=f"{re.escape(str(folder))}: no RAVDESS clips"):
        corpora.find_corpus(folder)


def test_a_missing_folder_is_called_missing(tmp_path):
    (tmp_path / "notes.txt").touch()
    for place, words in (("nowhere", "nowhere: no such folder"), ("notes.txt", "notes.txt: no folder, and no .csv"),
                         ("mine.csv", "mine.csv: no such file")):
        with pytest.raises(UserError, match=words):
            corpora.find_corpus(tmp_path / place)


def test_an_argument_goes_before_the_environment_and_that_before_the_default(monkeypatch):
    monkeypatch.delenv("RAVDESS_DIR", raising=False)
    assert os.path.samefile(corpora.data_dir(), os.path.dirname(config.__file__))
    assert corpora.data_dir(default="from config") == Path("from config")
    monkeypatch.setenv("RAVDESS_DIR", "from environment")
    assert corpora.data_dir(default="from config") == Path("from environment")
    assert corpora.data_dir("from argument", "from config") == Path("from argument")


# -- other corpora ---------------------------------------------------------------------------------
@pytest.mark.parametrize("name, path, row", [
    ("EMO-DB", "wav/03a01Fa.wav", dict(actor="03", emotion="happy", statement="a01", repetition="a", sex="male")),
    ("EMO-DB", "16b10Lb.wav", dict(actor="16", emotion="bored", statement="b10", repetition="b", sex="female")),
    ("CREMA-D", "AudioWAV/1001_DFA_ANG_XX.wav", dict(actor="1001", emotion="angry", statement="DFA", intensity="XX")),
    ("CREMA-D", "1040_ITH_SAD_X.wav", dict(actor="1040", emotion="sad", statement="ITH", intensity="X")),
    ("SAVEE", "DC_sa03.wav", dict(actor="DC", emotion="sad", sex="male")),
    ("SAVEE", "AudioData/KL/su15.wav", dict(actor="KL", emotion="surprised", sex="male")),
    ("TESS", "OAF_Fear/OAF_back_fear.wav", dict(actor="OA", emotion="fearful", statement="back", sex="female")),
    ("TESS", "YAF_pleasant_surprised/YAF_youth_ps.wav", dict(actor="YA", emotion="surprised", statement="youth")),
    ("TESS", "OA_bite_neutral.wav", dict(actor="OA", emotion="neutral", statement="bite")),
])
def test_a_corpus_is_known_by_its_file_names(name, path, row, tmp_path):
    write(tmp_path, path)
    write(tmp_path, "notes/beep.wav")
    corpus = corpora.find_corpus(tmp_path)
    assert corpus.name == name and len(corpus.clips) == 1 and corpus.left_out["foreign file"] == ["beep.wav"]
    assert corpus.complete == {"EMO-DB": 535, "CREMA-D": 7438, "SAVEE": 480, "TESS": 2798}[name]
    clip = corpus.clips.iloc[0].to_dict()
    assert {column: clip[column] for column in row} == row
    assert clip["path"] == str(tmp_path / path) and corpus.classes == (row["emotion"],) and clip["label"] == 0


def test_speakers_in_folders_of_their_own_do_not_collide(tmp_path):
    for speaker in ("DC", "JE"):
        write(tmp_path, f"{speaker}/a01.wav")
    clips, _ = found(tmp_path)
    assert list(clips.file) == ["DC_a01.wav", "JE_a01.wav"] and list(clips.actor) == ["DC", "JE"]


def test_an_unknown_emotion_code_is_named(tmp_path):
    write(tmp_path, "03a01Fa.wav")
    write(tmp_path, "03a01Xa.wav")
    clips, left_out = found(tmp_path)
    assert list(clips.file) == ["03a01Fa.wav"] and left_out["bad name"] == [
        "03a01Xa.wav: emotion code 'X' is not one of W L E A F T N"]


# -- manifests -------------------------------------------------------------------------------------
LINES = ["one.wav,sad,ann,take1,train", "sub/two.wav,happy,bob,take1,test", "three.wav,awe,ann,take2,validation"]
HEAD = "path,emotion,speaker,recording,split"


def write_manifest(folder, head=HEAD, lines=LINES):
    for name in ("one.wav", "sub/two.wav", "three.wav"):
        write(folder, name)
    path = folder / "mine.csv"
    path.write_text("\n".join([head, *lines, ""]))
    return path


def test_a_manifest_has_its_own_classes(tmp_path):
    corpus = corpora.find_corpus(write_manifest(tmp_path, HEAD + ",mood", [f"{line},fine" for line in LINES]))
    assert corpus.name == corpus.short_name == "mine" and corpus.complete is None
    assert corpus.classes == ("happy", "sad", "awe")            # RAVDESS's first, in its order
    clips = corpus.clips.set_index("file")
    assert clips.label.to_dict() == {"sub/two.wav": 0, "one.wav": 1, "three.wav": 2}
    assert clips.actor.to_dict() == {"one.wav": "ann", "sub/two.wav": "bob", "three.wav": "ann"}
    assert clips.path["sub/two.wav"] == str(tmp_path / "sub/two.wav")
    assert list(clips.split.sort_index()) == ["train", "test", "validation"]
    assert corpus.left_out == {"column not known": ["mood"]}


@pytest.mark.parametrize("head, lines, says", [
    ("file,emotion,speaker", ["one.wav,sad,ann"], "no column 'path'"),
    (HEAD, [*LINES, "four.wav,sad,ann,take3,train"], "1 of its 4 files not found, such as four.wav"),
    (HEAD, [*LINES, LINES[0]], "line 5 lists one.wav a second time"),
    (HEAD, [LINES[0], "sub/two.wav,,bob,take1,test"], "line 3 has no emotion"),
    (HEAD, [LINES[0], "sub/two.wav,happy,bob,take1,dev"], "line 3 has split 'dev', which is not one of train, "),
    (HEAD, [LINES[0], "sub/two.wav,3,bob,take1,test"], "line 3 has emotion '3', which"),
    (HEAD, [LINES[0], "sub/two.wav,None,bob,take1,test"], "line 3 has emotion 'None', which"),
    (HEAD, [LINES[0], "sub/two.wav,happy,NA,take1,test"], "line 3 has speaker 'NA', which"),
    (HEAD, [LINES[0], "sub/two.wav,happy,#N/A,take1,test"], "line 3 has speaker '#N/A', which"),
    (HEAD, [LINES[0], "sub/two.wav,TRUE,bob,take1,test"], "line 3 has emotion 'TRUE', which"),
    (HEAD.replace(",", ";"), [line.replace(",", ";") for line in LINES],
     "its first line is 'path;emotion;speaker;recording;split'; save it with commas"),
    (HEAD + ",Split", [line + ",x" for line in LINES], "two of its columns are called 'split'"),
    (HEAD + ",emotion", [line + ",x" for line in LINES], "two of its columns are called 'emotion'"),
    (HEAD, LINES[:1], "at least two emotions are needed, and it has 1"),
    (HEAD, [], "at least two emotions are needed, and it has 0"),
    (HEAD, [LINES[0] + ",more,more", LINES[1] + ",1,2,3"], "not readable as CSV"),
    (HEAD, [line + "," for line in LINES], "its lines have more fields than its first line names"),
])
def test_a_manifest_that_cannot_be_used_says_why(head, lines, says, tmp_path):
    path = write_manifest(tmp_path, head, lines)
    with pytest.raises(UserError, match=f"{re.escape(str(path))}: {re.escape(says)}"):
        corpora.find_corpus(path)


def test_a_manifest_from_a_spreadsheet_reads_as_well(tmp_path):
    path = write_manifest(tmp_path)
    text = path.read_text().replace(",sad,", ', "sad, not weeping",').replace("path,emotion", "Path , Emotion ")
    path.write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert corpora.find_corpus(path).classes == ("happy", "awe", "sad, not weeping")


def as_excel(text):
    return ("sep=,\n" + text + ",,,,\n\n,,,,\n").encode("utf-16")


@pytest.mark.parametrize("change", [
    lambda text: text.replace("sub/two", "sub\\two").encode(), lambda text: (text + ",,,,\n,,,,\n\n").encode(),
    lambda text: (text + HEAD + "\n").encode(), lambda text: ("sep=,\r\n" + text).encode(),
    lambda text: ("sep=;\n" + text.replace(",", ";")).encode(), lambda text: text.encode("utf-16"), as_excel],
    ids=["backslashes", "empty rows", "repeated header", "sep=,", "sep=;", "UTF-16", "all of it"])
def test_a_manifest_as_windows_leaves_it_reads_as_well(change, tmp_path):
    path = write_manifest(tmp_path)
    plain = corpora.find_corpus(path)
    path.write_bytes(change(path.read_text()))
    pd.testing.assert_frame_equal(corpora.find_corpus(path).clips, plain.clips)


def test_lines_are_counted_as_an_editor_does(tmp_path):
    path = write_manifest(tmp_path, "sep=,\n" + HEAD, [LINES[0], "", "sub/two.wav,,bob,take1,test"])
    with pytest.raises(UserError, match="line 5 has no emotion"):
        corpora.find_corpus(path)


@pytest.mark.parametrize("column, value, says", [
    (1, "Sad", "emotions 'Sad' and 'sad' differ in capitals only"),
    (2, "Ann", "speakers 'Ann' and 'ann' differ in capitals only")])
def test_names_that_differ_in_capitals_only_are_refused(column, value, says, tmp_path):
    """The one would be two classes, the other a speaker in training and in test."""
    cells = LINES[2].split(",")
    cells[column] = value
    with pytest.raises(UserError, match=says):
        corpora.find_corpus(write_manifest(tmp_path, HEAD, [*LINES[:2], ",".join(cells)]))


def test_accents_are_one_letter_however_they_are_written(tmp_path):
    lines = [line.replace("ann", name) for line, name in zip(LINES, ("Rene\u0301e", "", "Ren\u00e9e"))]
    clips = corpora.find_corpus(write_manifest(tmp_path, HEAD, lines)).clips
    assert sorted(set(clips.actor)) == ["Ren\u00e9e", "bob"]


def test_a_file_name_of_several_lines_is_one_in_the_tables(tmp_path):
    write(tmp_path, "a\nb.wav")
    lines = [*LINES, '"a\nb.wav",sad,ann,take3,train']
    clips = corpora.find_corpus(write_manifest(tmp_path, HEAD, lines)).clips.set_index("file")
    assert clips.path["a\\x0ab.wav"] == str(tmp_path / "a\nb.wav")


def test_clips_published_without_their_sound_are_left_out_by_name(tmp_path):
    for name in ("1001_MTI_ANG_XX.wav", "1001_MTI_SAD_XX.wav", "1076_MTI_SAD_XX.wav", "1064_IEO_DIS_MD.wav"):
        write(tmp_path / "crema", name)
    for name in ("OAF_back_fear.wav", "OAF_back_sad.wav", "YAF_germ_angry.wav", "YAF_neat_fear.wav"):
        write(tmp_path / "tess", name)
    for folder in ("crema", "tess"):
        corpus = corpora.find_corpus(tmp_path / folder)
        assert len(corpus.clips) == 2 and len(corpus.left_out["known to be damaged"]) == 2


def test_a_manifest_in_another_encoding_says_which_it_should_have(tmp_path):
    path = write_manifest(tmp_path)
    path.write_bytes(path.read_text().replace("ann", "J\xf6rg").encode("latin-1"))
    with pytest.raises(UserError, match=r"mine\.csv: not readable as CSV \(.*\); save it as UTF-8"):
        corpora.find_corpus(path)


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"mine\.csv: no such file"):
        corpora.find_corpus(tmp_path / "mine.csv")


# -- two at once -----------------------------------------------------------------------------------
def test_two_corpora_share_emotions_and_nothing_else(tmp_path):
    for name in ("03a01Fa.wav", "03a01Wa.wav", "08a01La.wav"):                          # happy, angry, bored
        write(tmp_path / "german", name)
    for name in ("DC_a01.wav", "DC_h01.wav", "DC_su01.wav", "03_h02.wav"):              # angry, happy, surprised
        write(tmp_path / "english", name)
    both = corpora.join_corpora([corpora.find_corpus(tmp_path / "german")], [corpora.find_corpus(tmp_path / "english")])
    assert both.name == "EMO-DB to SAVEE" and both.classes == ("happy", "angry")
    assert {reason: files for reason, files in both.left_out.items() if files} == {
        "emotion not shared": ["emo-db: 08a01La.wav", "savee: DC_su01.wav"], "foreign file": ["savee: 03_h02.wav"]}
    rows = both.clips.set_index("file")[["split", "corpus", "actor", "emotion", "label"]].to_dict("index")
    assert rows == {
        "1-emo-db/03a01Fa.wav": dict(split="train", corpus="emo-db", actor="emo-db-03", emotion="happy", label=0),
        "1-emo-db/03a01Wa.wav": dict(split="train", corpus="emo-db", actor="emo-db-03", emotion="angry", label=1),
        "2-savee/DC_a01.wav": dict(split="test", corpus="savee", actor="savee-DC", emotion="angry", label=1),
        "2-savee/DC_h01.wav": dict(split="test", corpus="savee", actor="savee-DC", emotion="happy", label=0)}


def test_recordings_of_two_corpora_stay_apart_and_the_same_sound_together(tmp_path):
    """Both manifests call a recording r1; and one clip is in both corpora, of which only one names recordings."""
    for name, with_recording in (("one", True), ("two", True), ("three", False)):
        write(tmp_path / name, "a.wav")
        write(tmp_path / name, "b.wav")
        recording, r1 = (",recording", ",r1") if with_recording else ("", "")
        (tmp_path / f"{name}.csv").write_text(
            f"path,emotion,speaker{recording}\n{name}/a.wav,happy,x{r1}\n{name}/b.wav,sad,y{r1}\n")
    one, two, three = (corpora.find_corpus(tmp_path / f"{name}.csv") for name in ("one", "two", "three"))
    clips = corpora.join_corpora([one], [two]).clips
    assert list(clips.recording) == ["1-one/r1", "1-one/r1", "2-two/r1", "2-two/r1"]
    clips = corpora.join_corpora([one], [three]).clips
    clips["sound"] = ["p", "q", "q", "r"]
    assert list(survey.recording_groups(clips)) == ["1-one/one/a"] * 3 + ["2-three/three/b"]


def test_several_corpora_to_train_on_and_to_test_on(tmp_path):
    for folder, names in dict(a=("03a01Fa.wav", "03a01Wa.wav"), b=("DC_a01.wav", "DC_h01.wav", "DC_sa01.wav"),
                              c=("1001_DFA_ANG_XX.wav", "1001_DFA_HAP_XX.wav", "1002_DFA_SAD_XX.wav"),
                              d=("03a01Fb.wav", "08a01Wa.wav")).items():
        for name in names:
            write(tmp_path / folder, name)
    a, b, c, d = (corpora.find_corpus(tmp_path / name) for name in "abcd")
    joined = corpora.join_corpora([a, b], [c, d])
    assert joined.name == "EMO-DB + SAVEE to CREMA-D + EMO-DB" and joined.classes == ("happy", "angry")
    assert set(zip(joined.clips.corpus, joined.clips.split)) == {
        ("1-emo-db", "train"), ("savee", "train"), ("crema-d", "test"), ("4-emo-db", "test")}
    both = joined.clips[joined.clips.actor == "emo-db-03"]      # one speaker, wherever the clips lie
    assert set(both.corpus) == {"1-emo-db", "4-emo-db"}
    pooled = corpora.join_corpora([b, c])
    assert pooled.name == "SAVEE + CREMA-D" and pooled.classes == ("happy", "sad", "angry")
    assert "split" not in pooled.clips and len(pooled.clips) == 6


def test_one_shared_emotion_is_not_enough(tmp_path):
    write(tmp_path / "german", "03a01Fa.wav")
    write(tmp_path / "english", "DC_h01.wav")
    with pytest.raises(UserError, match="share 1 emotions"):
        corpora.join_corpora([corpora.find_corpus(tmp_path / "german")], [corpora.find_corpus(tmp_path / "english")])


def test_the_order_of_the_classes_changes_labels_and_not_emotions(demo_folder):
    corpus = corpora.find_corpus(demo_folder, sorted(corpora.EMOTIONS))
    assert corpus.classes == tuple(sorted(config.CLASSES)) and corpus.classes[0] == "angry"
    assert (corpus.clips.emotion == [corpus.classes[label] for label in corpus.clips.label]).all()
    assert set(corpus.clips.emotion[corpus.clips.file.str.startswith("03-01-05")]) == {"angry"}
