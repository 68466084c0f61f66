"""Every clip decoded once: its facts (duration, level, a hash of its sound), which clips are one recording; and the
data report."""
import hashlib
import os
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from ser.audio import read_audio
from ser.errors import UserError
from ser.facts import recording_facts
from ser.files import hash_json, write_atomically
from ser.identity import code_hash


def survey(clips, cache_dir, jobs=-1):
    """Decode every clip once: adds seconds, peak_dbfs, rms_dbfs, the facts of ser/facts.py, sound (hash) and recording
    to the table of clips.

    Clips with identical sound get one recording id (the first file's stem), whatever their names. Where the table has a
    column recording already, clips that share it share the new one.
    raises : UserError listing every file that cannot be used.
    """
    key = hash_json([files_key(clips), code_hash("ser.survey:inspect_clip")])
    cached = Path(cache_dir) / f"survey-{key}.csv"
    if not cached.exists():
        measured = joblib.Parallel(jobs, prefer="threads")(joblib.delayed(inspect_clip)(path) for path in clips.path)
        bad = [f"  {file}: {problem}" for file, problem in zip(clips.file, measured) if isinstance(problem, str)]
        if bad:
            headline = f"{len(bad)} of {len(clips)} clips cannot be used; replace or remove them:"
            raise UserError("\n".join([headline, *bad]))
        facts = pd.DataFrame(measured)
        facts.insert(0, "file", clips.file)
        with write_atomically(cached) as tmp_path:
            facts.to_csv(tmp_path, index=False)
    try:
        facts = pd.read_csv(cached, dtype={"file": str})
        if sorted(facts.file) != sorted(clips.file):
            raise ValueError("other clips than those of the corpus")
    except (ValueError, AttributeError) as problem:
        raise UserError(f"{cached}: damaged ({problem}); delete it, and the next run makes it anew") from problem
    clips = clips.merge(facts, on="file", validate="one_to_one")
    return clips.assign(recording=recording_groups(clips))


def recording_groups(clips):
    """Group id of each clip, (clips,): clips with identical sound or the same value in the column recording form one
    group, also by way of a third clip, and stay on one side of every split. It is the stem of the group's first file.
    """
    first, before = clips.file, None
    while not first.equals(before):
        before = first
        for column in [name for name in ("sound", "recording") if name in clips]:
            first = first.groupby(clips[column].fillna(clips.file)).transform("min")       # of one of two corpora
    return first.str.rsplit(".", n=1).str[0]


def inspect_clip(path):
    """Facts of one file (dict), or what is wrong with it (str)."""
    try:
        samples, rate = read_audio(path)
    except UserError as problem:
        return str(problem)
    return dict(seconds=len(samples) / rate, peak_dbfs=20 * np.log10(float(np.abs(samples).max())),
                rms_dbfs=10 * np.log10(np.mean(np.square(samples, dtype=np.float64))), **recording_facts(samples, rate),
                sound=hashlib.sha256(str(rate).encode() + samples.tobytes()).hexdigest())


def files_key(clips):
    """Hash of what the clips are: name, size and time of last change of every file."""
    stats = [(file, os.stat(path)) for file, path in zip(clips.file, clips.path)]
    return hash_json([(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats])


def data_report(corpus, clips):
    """The data report, as text: a Corpus, and its clips as `survey` gives them."""
    counts = clips.emotion.value_counts().reindex(corpus.classes, fill_value=0)
    per_actor = clips.actor.value_counts()
    each = " to ".join(str(count) for count in sorted({per_actor.min(), per_actor.max()}))
    seconds = clips.seconds
    lines = [f"{corpus.name}: {len(clips)} clips, {clips.actor.nunique()} actors ({each} clips each), "
             f"{seconds.sum() / 3600:.2f} hours ({seconds.min():.1f} to {seconds.max():.1f} s a clip)",
             "emotions: " + ", ".join(f"{emotion} {count}" for emotion, count in counts.items())]
    for reason, files in corpus.left_out.items():
        if files:
            shown = files if reason == "bad name" else files[:3]
            more = f", and {len(files) - len(shown)} more" if len(files) > len(shown) else ""
            lines.append(f"left out, {reason}: {len(files)} ({'; '.join(shown)}{more})")
    for _, same in clips.groupby("recording").file:
        if len(same) > 1:
            lines.append(f"same recording, kept on one side of every split: {', '.join(same)}")
    if corpus.complete not in (None, len(clips)):
        lines.append(f"warning: {corpus.name} is {corpus.complete} clips; results on {len(clips)} do not compare")
    return "\n".join(lines)
