"""Every clip decoded once: its facts (duration, level, a hash of its sound), which clips are one recording; and the
data report."""
import hashlib
import os
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from ser.errors import UserError
from ser.facts import recording_facts
from ser.files import hash_json, read_csv, write_csv
from ser.folders import clear_drafts, discard_damaged, new_folder
from ser.identity import code_hash
from ser.names import differ_in_zeros, printable
from ser.recording import open_recording
from ser.terminal import plural

FILE = "facts.csv"
NAMED = ("bad name", "known to be damaged")          # reasons to leave files out, of which each file is named


def survey(clips, cache_dir, jobs=-1):
    """Decode every clip once: adds seconds, peak_dbfs, rms_dbfs, the facts of ser/facts.py, sound (hash) and recording
    to the table of clips.

    Clips with identical sound get one recording id (the first file's stem), whatever their names. Where the table has a
    column recording already, clips that share it share the new one.
    raises : UserError listing every file that cannot be used.
    """
    key = hash_json([files_key(clips), code_hash("ser.survey:inspect_clip")])
    cached = Path(cache_dir) / f"survey-{key}"
    if cached.parent.exists():
        clear_drafts(cached.parent)
    discard_damaged(cached)
    if not cached.exists():
        measured = joblib.Parallel(jobs, prefer="threads")(joblib.delayed(inspect_clip)(path) for path in clips.path)
        bad = [(file, problem) for file, problem in zip(clips.file, measured) if isinstance(problem, str)]
        if bad:
            report_unusable(*zip(*bad), len(clips))
        facts = pd.DataFrame(measured)
        facts.insert(0, "file", clips.file)
        with new_folder(cached) as draft:
            write_csv(draft / FILE, facts)
    clips = clips.merge(read_csv(cached / FILE), on="file", validate="one_to_one")
    return clips.assign(recording=recording_groups(clips))


def recording_groups(clips):
    """Group id of each clip, (clips,): clips with identical sound or the same value in the column recording form one
    group, also by way of a third clip, and stay on one side of every split. It is the stem of the group's first file,
    or where two groups would have the same, the file's whole name.
    """
    first, before = clips.file, None
    while not first.equals(before):
        before = first
        for column in [name for name in ("sound", "recording") if name in clips]:
            first = first.groupby(clips[column].fillna(clips.file)).transform("min")       # of one of two corpora
    stems = first.str.rsplit(".", n=1).str[0]
    return stems.where(first.groupby(stems).transform("nunique") == 1, first)


def inspect_clip(path):
    """Facts of one file (dict), or what is wrong with it (str)."""
    try:
        recording = open_recording(path, in_memory=True)
    except UserError as problem:
        return str(problem)
    samples, rate = recording.y, recording.rate
    return dict(seconds=recording.seconds, peak_dbfs=20 * np.log10(recording.peak),
                rms_dbfs=10 * np.log10(np.mean(np.square(samples, dtype=np.float64))), **recording_facts(samples, rate),
                note="; ".join(recording.notes), sound=sound_hash(samples, rate))


def report_unusable(files, problems, n_clips):
    """raises : UserError that lists the files that cannot be used, and all that need the same command in one line."""
    pointers = [file for file, problem in zip(files, problems) if "Git LFS" in problem]
    lines = [f"  {printable(file)}: {problem}" for file, problem in zip(files, problems) if "Git LFS" not in problem]
    if pointers:
        lines.insert(0, f"  {len(pointers)} files, such as {printable(pointers[0])}, are Git LFS pointers, not sound: "
                        "git lfs pull")
    raise UserError("\n".join([f"{len(files)} of {n_clips} clips cannot be used; replace or remove them:", *lines]))


def sound_hash(samples, rate):
    """SHA-256 of mono sound, float32 (samples,) at `rate` Hz."""
    return hashlib.sha256(str(rate).encode() + samples.tobytes()).hexdigest()


def files_key(clips):
    """Hash of what the clips are: name, size, and what the system changes whenever a file is written: the time of its
    last change, which a program may set back, that of its entry, which none can, and its number on the disk."""
    stats = [(file, os.stat(path)) for file, path in zip(clips.file, clips.path)]
    return hash_json([(file, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino) for file, stat in stats])


def data_report(corpus, clips):
    """The data report, as text: a Corpus, and its clips as `survey` gives them."""
    counts = clips.emotion.value_counts().reindex(corpus.classes, fill_value=0)
    per_actor = clips.actor.value_counts()
    fewest, most = per_actor.min(), per_actor.max()
    each = plural(most, "clip") if fewest == most else f"{fewest} to {plural(most, 'clip')}"
    seconds = clips.seconds
    lines = [f"{corpus.name}: {plural(len(clips), 'clip')}, {plural(clips.actor.nunique(), 'actor')} ({each} each), "
             f"{seconds.sum() / 3600:.2f} hours ({seconds.min():.1f} to {seconds.max():.1f} s a clip)",
             "emotions: " + ", ".join(f"{emotion} {count}" for emotion, count in counts.items())]
    for reason, files in corpus.left_out.items():
        if files:
            lines.append(f"left out, {reason}: {some_of(files, len(files) if reason in NAMED else 3)}")
    for note, own in clips[clips.note.notna()].groupby("note").file:
        lines.append(f"{note}: {some_of(own)}")
    same = [some_names(files) for _, files in clips.groupby("recording").file if len(files) > 1]
    if same:
        lines.append(f"same recording in several clips, kept on one side of every split: {some_of(same)}")
    for emotion in counts.index[counts == 1]:
        lines.append(f"warning: a single clip of {emotion}, so it is in training or in test")
    alike = differ_in_zeros(clips.actor.astype(str))
    if alike:
        lines.append(f"warning: speakers {alike[0]!r} and {alike[1]!r} are taken for two")
    if corpus.complete not in (None, len(clips)):
        lines.append(f"warning: {corpus.name} is {corpus.complete} clips; results on {len(clips)} do not compare")
    return "\n".join(lines)


def some_names(files, n=4):
    """"a.wav, b.wav"; of more than `n` the first, and how many more."""
    more = f" and {len(files) - n} more" if len(files) > n else ""
    return ", ".join(list(files)[:n]) + more


def some_of(files, n=3):
    """"12 (a.wav; b.wav; c.wav, and 9 more)"."""
    more = f", and {len(files) - n} more" if len(files) > n else ""
    return f"{len(files)} ({'; '.join(printable(file) for file in list(files)[:n])}{more})"
