"""Where clips come from: a folder whose file names say what they hold, or a CSV of one's own -> a row per clip.

    find_corpus(place)          RAVDESS, or another row of CORPORA, known by its file names; or a manifest, say my.csv:
                                path,emotion,speaker[,recording,split,sex,intensity,statement,repetition]
    join_corpora(train, test)   several as one; some to train on, others to test on: the emotions they share

`recording` names clips that are parts or copies of one recording and stay on one side of every split; `split` is train,
validation or test, for a split of one's own (`--protocol predefined`). A path is relative to the CSV. Nothing is
decoded here. A new corpus is its row in CORPORA.
"""
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ser.errors import UserError
from ser.formats import is_sound_file
from ser.manifest import read_manifest
from ser.names import printable
from ser.settings import home_folder

# A file name of RAVDESS is seven two-digit codes: 03-01-06-01-02-01-12.wav. Field by field, what each may be.
FIELDS = {
    "modality": {"01": "audio-video", "02": "video", "03": "audio"},
    "channel": {"01": "speech", "02": "song"},
    "emotion": {"01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful",
                "07": "disgust", "08": "surprised"},
    "intensity": {"01": "normal", "02": "strong"},
    "statement": {"01": 1, "02": 2},       # "Kids are talking by the door", "Dogs are sitting by the door"
    "repetition": {"01": 1, "02": 2},
    "actor": {f"{actor:02d}": actor for actor in range(1, 25)},
}
RAVDESS_NAME = re.compile(r"\d+(-\d+){6}")
RAVDESS, RAVDESS_CLIPS = "RAVDESS speech", 1440
WAYS = ("`python data_preprocessing.py --download` fetches RAVDESS (208 MB); a folder that has clips, or a CSV that "
        "lists your own, is named with --data-dir; --demo needs no data")
EMOTIONS = tuple(FIELDS["emotion"].values())


class Convention(NamedTuple):
    """A row of CORPORA: how the files of a corpus are named."""
    clips: int              # of the whole corpus
    pattern: str            # of a file's stem; groups: actor, emotion, perhaps intensity, statement, repetition
    emotions: dict          # code -> name, RAVDESS's where there is one
    women: tuple | None     # of the actors, None: the names do not say
    damaged: tuple = ()     # stems of files that were published without their sound


CORPORA = {
    # Burkhardt et al. 2005, German: 03a01Fa.wav
    "EMO-DB": Convention(535, r"(?P<actor>\d\d)(?P<statement>[ab]\d\d)(?P<emotion>[A-Z])(?P<repetition>[a-z])", {
        "W": "angry", "L": "bored", "E": "disgust", "A": "fearful", "F": "happy", "T": "sad", "N": "neutral"},
        ("08", "09", "13", "14", "16")),
    # Cao et al. 2014, English: 1001_DFA_ANG_XX.wav
    "CREMA-D": Convention(7442, r"(?P<actor>1\d{3})_(?P<statement>[A-Z]{3})_(?P<emotion>[A-Z]{3})_"
                          r"(?P<intensity>LO|MD|HI|XX?)", {
        "ANG": "angry", "DIS": "disgust", "FEA": "fearful", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}, None,
        # without sound, and one of a minute with every emotion: its authors' README
        ("1076_MTI_NEU_XX", "1076_MTI_SAD_XX", "1064_TIE_SAD_XX", "1064_IEO_DIS_MD")),
    # Haq & Jackson 2009, British English, four men: DC_a01.wav, or DC/a01.wav
    "SAVEE": Convention(480, r"(?P<actor>DC|JE|JK|KL)_(?P<emotion>[a-z]{1,2})\d\d", {
        "a": "angry", "d": "disgust", "f": "fearful", "h": "happy", "n": "neutral", "sa": "sad",
        "su": "surprised"}, ()),
    # Dupuis & Pichora-Fuller 2010, Canadian English, two women: OAF_back_angry.wav
    "TESS": Convention(2800, r"(?P<actor>OA|YA)F?_(?P<statement>[A-Za-z]+)_(?P<emotion>[a-z]+)", {
        "angry": "angry", "disgust": "disgust", "fear": "fearful", "happy": "happy", "neutral": "neutral",
        "ps": "surprised", "sad": "sad"}, ("OA", "YA"),
        ("YAF_germ_angry", "YAF_neat_fear")),               # cut or not readable, as published
}
@dataclass(frozen=True)
class Corpus:
    """name; clips, a DataFrame sorted by file with file (unique), path, emotion, label (of classes) and actor, and what
    else is known of sex, intensity, statement, repetition, recording, split; classes in the order of the labels;
    left_out {reason: [file, ...]}; complete, the number of clips that there should be, if that is known."""
    name: str
    clips: pd.DataFrame
    classes: tuple
    left_out: dict
    complete: int | None = None

    @property
    def short_name(self):
        """For a folder: "emo-db"."""
        return re.sub(r"\W+", "-", self.name.lower()).strip("-")


def data_dir(argument=None, default=None):
    """Where to look for clips: the argument, $RAVDESS_DIR, `default`, or the project's folder ($SER_HOME)."""
    return Path(argument or os.environ.get("RAVDESS_DIR") or default or home_folder())


def find_corpus(place, class_order=EMOTIONS):
    """The Corpus in a folder, or of a manifest (.csv); its classes in the order of `class_order`, then the others.

    raises : UserError when there are no clips, or when a manifest cannot be used
    """
    place = Path(place)
    if place.suffix.lower() == ".csv":
        return make_corpus(place.stem, *read_manifest(place), class_order)
    if not place.is_dir():
        raise UserError(f"{place}: {'no folder, and no .csv' if place.exists() else 'no such folder'}. {WAYS}")
    rows, left_out = scan_ravdess(place)
    if rows:
        return make_corpus(RAVDESS, rows, left_out, class_order, complete=RAVDESS_CLIPS, all_classes=True)
    found = {name: scan_by_convention(place, convention) for name, convention in CORPORA.items()}
    name = max(found, key=lambda name: len(found[name][0]))
    rows, left_out = found[name]
    if not rows:
        raise UserError(f"{place}: no RAVDESS clips (Actor_01/03-01-....wav) here or one folder below, nor clips named "
                        f"as those of {', '.join(CORPORA)}. {WAYS}")
    return make_corpus(name, rows, left_out, class_order, CORPORA[name].clips - len(CORPORA[name].damaged))


def make_corpus(name, rows, left_out, class_order, complete=None, all_classes=False):
    """A Corpus of {file: row}. Its classes are those of the clips, or all of `class_order`, in that order."""
    clips = pd.DataFrame([dict(file=printable(file), **rows[file]) for file in sorted(rows)])
    present = set(clips.emotion)
    classes = tuple(class_order) if all_classes else (
        *(known for known in class_order if known in present), *sorted(present - set(class_order)))
    clips["label"] = clips.emotion.map({emotion: label for label, emotion in enumerate(classes)})
    return Corpus(name, clips, classes, left_out, complete)


# -- RAVDESS ---------------------------------------------------------------------------------------
def parse_name(name):
    """`03-01-06-01-02-01-12.wav` -> {"modality": "audio", ..., "emotion": "fearful", ..., "actor": 12}.

    Raises UserError, naming the code, where a code is not one of RAVDESS's.
    """
    codes = Path(name).stem.split("-")
    if len(codes) != len(FIELDS):
        raise UserError(f"{name}: {len(codes)} codes between dashes where RAVDESS has {len(FIELDS)}")
    for (field, known), code in zip(FIELDS.items(), codes):
        if code not in known:
            raise UserError(f"{name}: {field} code '{code}' is not one of {min(known)}..{max(known)}")
    fields = {field: FIELDS[field][code] for field, code in zip(FIELDS, codes)}
    if fields["emotion"] == "neutral" and fields["intensity"] == "strong":
        raise UserError(f"{name}: intensity code '02' does not exist for neutral (emotion code '01')")
    return fields


def scan_ravdess(folder):
    """The speech clips of RAVDESS in `folder`, {file: row}, and what was left out, {reason: [file, ...]}.

    Looks for Actor_* in the folder and one level below, as the Zenodo and Kaggle archives unpack.
    """
    rows, left_out = {}, {reason: [] for reason in ("second copy", "song", "video", "foreign file", "bad name")}
    for path in [*sorted(folder.glob("Actor_*/*")), *sorted(folder.glob("*/Actor_*/*"))]:
        if not is_sound_file(path, {".wav"}) or not RAVDESS_NAME.fullmatch(path.stem):
            like_video = path.suffix.lower() == ".mp4" and RAVDESS_NAME.fullmatch(path.stem)
            left_out["video" if like_video else "foreign file"].append(path.name)
            continue
        try:
            fields = parse_name(path.name)
        except UserError as problem:
            left_out["bad name"].append(str(problem))
            continue
        modality, channel = fields.pop("modality"), fields.pop("channel")
        if modality != "audio":
            left_out["video"].append(path.name)
        elif channel == "song":
            left_out["song"].append(path.name)
        elif path.name in rows:
            left_out["second copy"].append(path.name)
        else:
            rows[path.name] = dict(path=str(path), sex="female" if fields["actor"] % 2 == 0 else "male", **fields)
    return rows, left_out


# -- others ----------------------------------------------------------------------------------------
def scan_by_convention(folder, convention):
    """The WAVs below `folder` that are named by a convention, {file: row}, and what was left out."""
    rows, left_out = {}, {reason: [] for reason in ("second copy", "known to be damaged", "foreign file", "bad name")}
    for path in sorted(file for file in folder.rglob("*") if is_sound_file(file, {".wav"})):
        names = (path.stem, f"{path.parent.name}_{path.stem}")              # SAVEE: the speaker is a folder
        match = next(filter(None, (re.fullmatch(convention.pattern, name) for name in names)), None)
        if match is None:
            left_out["foreign file"].append(path.name)
            continue
        fields, file = match.groupdict(), f"{match.string}.wav"
        if match.string in convention.damaged:
            left_out["known to be damaged"].append(path.name)
        elif fields["emotion"] not in convention.emotions:
            left_out["bad name"].append(f"{path.name}: emotion code '{fields['emotion']}' is not one of "
                                        f"{' '.join(convention.emotions)}")
        elif file in rows:
            left_out["second copy"].append(path.name)
        else:
            fields["emotion"] = convention.emotions[fields["emotion"]]
            if convention.women is not None:
                fields["sex"] = "female" if fields["actor"] in convention.women else "male"
            rows[file] = dict(path=str(path), **fields)
    return rows, left_out


# -- several at once -------------------------------------------------------------------------------
def join_corpora(train, test=()):
    """Several corpora as one, on the emotions that all of them have: with a column corpus, and where some are there to
    test on, a column split. Speakers of the same name in two parts of one corpus are one speaker.

    train, test : [Corpus, ...]
    raises      : UserError when they share fewer than two emotions
    """
    both = [*train, *test]
    shared = [emotion for emotion in both[0].classes if all(emotion in set(own.clips.emotion) for own in both)]
    if len(shared) < 2:
        names = " and ".join(own.name for own in both)
        raise UserError(f"{names} share {len(shared)} emotions; two are needed")
    rows, short_names, left_out = {}, [own.short_name for own in both], {"emotion not shared": []}
    for number, own in enumerate(both, start=1):
        file_prefix = f"{number}-{own.short_name}"
        name = file_prefix if short_names.count(own.short_name) > 1 else own.short_name
        for reason, files in own.left_out.items():
            left_out.setdefault(reason, []).extend(f"{name}: {file}" for file in files)
        for row in own.clips.drop(columns="label").to_dict("records"):
            if row["emotion"] not in shared:
                left_out["emotion not shared"].append(f"{name}: {row['file']}")
                continue
            row.update(actor=f"{own.short_name}-{row['actor']}", corpus=name)
            if test:
                row["split"] = "train" if number <= len(train) else "test"
            if "recording" in row:
                row["recording"] = f"{file_prefix}/{row['recording']}"
            rows[f"{file_prefix}/{row.pop('file')}"] = row
    name = " to ".join(" + ".join(own.name for own in side) for side in (train, test) if side)
    return make_corpus(name, rows, left_out, shared, all_classes=True)
