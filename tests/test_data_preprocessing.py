"""Checking, loading, augmenting, caching and normalising, on files written here and on the real data."""
import errno
import itertools
import os
import re
import shutil
import struct
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from sounds import SR, clip_name, files_of, tone, write
from threadpoolctl import threadpool_limits

import config
import data_preprocessing as dp
import features
from ser import corpora, seeds
from ser.files import code_fingerprint, write_atomically, write_csv

LOAD = {"sr": SR, "trim_db": None, "peak_normalise": False}
RANGES = {"stretch_rate": (0.8, 1.2), "pitch_semitones": (-2.0, 2.0), "noise_snr_db": (30.0, 50.0)}
PCM = 2**-15                # full scale is 1; the step of a 16-bit file
FREQUENCY = 1e-3            # relative, 2 cents; a second of sound resolves far less than a hertz
SHIFTED_FREQUENCY = 0.01    # relative, a sixth of a semitone; the shifter is off by 12 cents at 150 Hz
ONSET = 0.002               # s; a tenth of a frame step, and a thirtieth of the stretcher's latency of 60 ms


def frequency(y, sr=SR):
    """Where the spectrum peaks, in Hz, to a fraction of a bin."""
    return np.abs(np.fft.rfft(y * np.hanning(len(y)), 2**20)).argmax() * sr / 2**20


def rms(y):
    """Of the middle half, away from the edges."""
    return np.sqrt(np.mean(np.square(y[len(y) // 4:-len(y) // 4], dtype=float)))


def with_chunk(content):
    """The bytes of a WAV file with another chunk before its samples, as most RAVDESS files have."""
    at = content.index(b"data")
    content = content[:at] + b"FLLR" + struct.pack("<I", 400) + bytes(400) + content[at:]
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


# -- survey and report -----------------------------------------------------------------------------
def clips_in(folder):
    return corpora.find_corpus(folder).clips


def test_survey_measures_length_and_level(tmp_path):
    write(tmp_path, f"Actor_01/{clip_name()}", tone(amplitude=0.1, seconds=1.5, sr=8000), sr=8000)
    clip = dp.survey(clips_in(tmp_path), tmp_path, jobs=1).iloc[0]
    assert clip.seconds == 1.5
    assert clip.peak_dbfs == pytest.approx(-20, abs=0.05)               # 0.05 dB: samples beside the crest
    assert clip.rms_dbfs == pytest.approx(-20 - 10 * np.log10(2), abs=0.01)     # 16 bits: 0.003 dB
    assert clip.recording == clip_name().removesuffix(".wav")


def test_identical_sound_is_one_recording(tmp_path):
    names = [clip_name(emotion=emotion) for emotion in ("03", "04", "05", "06", "07")]
    one, copy, chunk, stereo, other = (tmp_path / "Actor_01" / name for name in names)
    write(one.parent, one.name)
    shutil.copy(one, copy)
    chunk.write_bytes(with_chunk(one.read_bytes()))
    write(stereo.parent, stereo.name, np.stack([tone(), tone()], axis=1))
    changed = tone()
    changed[100] += 4 * PCM
    write(other.parent, other.name, changed)
    clips = dp.survey(clips_in(tmp_path), tmp_path / "cache", jobs=1)
    assert list(clips.recording) == [one.stem] * 4 + [other.stem]
    text = dp.data_report(corpora.find_corpus(tmp_path), clips)
    assert f"same recording, kept on one side of every split: {', '.join(names[:4])}" in text


def test_a_survey_is_kept_and_reads_back_the_same(demo_folder, tmp_path, monkeypatch):
    first = dp.survey(clips_in(demo_folder), tmp_path, jobs=1)
    monkeypatch.setattr(dp, "measure", None)                            # a second look would fail
    pd.testing.assert_frame_equal(dp.survey(clips_in(demo_folder), tmp_path, jobs=1), first, check_exact=True)


def test_a_survey_notices_a_changed_file(demo_folder, tmp_path):
    folder = shutil.copytree(demo_folder, tmp_path / "data")
    first = dp.survey(clips_in(folder), tmp_path, jobs=1)
    write(folder, f"Actor_01/{first.file[0]}", tone(seconds=0.5))
    second = dp.survey(clips_in(folder), tmp_path, jobs=1)
    assert second.seconds[0] == 0.5 != first.seconds[0]
    pd.testing.assert_frame_equal(second[1:], first[1:], check_dtype=False)


def break_files(folder):
    """One file of each kind of broken; returns {name: what the message says of it}."""
    broken = {"empty file": "not readable", "no samples": "empty", "header alone": "empty", "truncated": "truncated",
              "truncated, with a chunk": "truncated", "silent": "silent", "almost silent": "silent",
              "not a number": "finite", "infinite": "finite", "far too loud": "where full scale is 1",
              "wrong rate": "a sample rate of 1 Hz", "text": "not readable"}
    y = tone()
    for code, kind in enumerate(broken, start=1):
        name = clip_name(actor=f"{code:02d}")
        samples = {"no samples": y[:0], "silent": 0 * y, "almost silent": 1e-4 * y}.get(kind, y)
        if kind in ("not a number", "infinite"):
            samples = np.append(y, np.nan if kind == "not a number" else np.inf)
        if kind == "far too loud":
            samples = np.append(y, 1e30)
        path = write(folder, f"Actor_{code:02d}/{name}", samples, subtype="FLOAT", sr=1 if kind == "wrong rate" else SR)
        content = path.read_bytes()
        if kind == "truncated, with a chunk":
            content = with_chunk(content)
        path.write_bytes({
            "empty file": b"", "text": b"text " * 100, "header alone": content[:content.index(b"data") + 8],
            "truncated": content[:len(content) // 2], "truncated, with a chunk": content[:-100]}.get(kind, content))
        broken[kind] = (name, broken[kind])
    return dict(broken.values())


def test_all_bad_files_are_listed_at_once(tmp_path):
    broken = break_files(tmp_path)
    good = [write(tmp_path, f"Actor_20/{clip_name(actor='20')}").name]
    cut_trailer = with_chunk(write(tmp_path, f"Actor_21/{clip_name(actor='21')}").read_bytes())
    (tmp_path / "Actor_21" / clip_name(actor="21")).write_bytes(cut_trailer + b"LIST" + struct.pack("<I", 99))
    good.append(clip_name(actor="21"))                                  # its samples are all there
    with pytest.raises(dp.DataError) as raised:
        dp.survey(clips_in(tmp_path), tmp_path / "cache", jobs=2)
    first, *lines = str(raised.value).splitlines()
    assert first.startswith(f"{len(broken)} of {len(broken) + len(good)} clips cannot be used")
    said = dict(line.strip().split(": ", 1) for line in lines)
    assert said.keys() == broken.keys()
    assert all(reason in said[name] for name, reason in broken.items()), said
    assert not (tmp_path / "cache").exists()                            # nor remembered as good


def test_the_report_counts(mixed_folder, tmp_path):
    found = corpora.find_corpus(mixed_folder)
    text = dp.data_report(found, dp.survey(found.clips, tmp_path / "cache", jobs=1))
    hours = sum(soundfile.info(path).duration for path in found.clips.path) / 3600
    assert text.startswith(f"RAVDESS speech: 16 clips, 1 actors (16 clips each), {hours:.2f} hours")
    for part in (*(f"{emotion} 2" for emotion in config.CLASSES), "second copy: 16", "song: 1", "video: 2",
                 "foreign file: 2", "bad name: 1 (03-01-09-01-01-01-01.wav: emotion code '09'"):
        assert part in text
    assert "same recording" not in text


def test_an_emotion_that_is_absent_counts_0(tmp_path):
    write(tmp_path, f"Actor_01/{clip_name()}")
    assert "sad 0, angry 1, fearful 0" in dp.data_report(
        corpora.find_corpus(tmp_path), dp.survey(clips_in(tmp_path), tmp_path, jobs=1))


def test_main_warns_when_it_is_not_all_of_ravdess(demo_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(config, "CACHE_DIR", tmp_path)
    dp.main(["--check", str(demo_folder)])
    assert re.search(r"^warning: .*1440.*\b16\b", capsys.readouterr().out, re.MULTILINE)
    monkeypatch.setattr(corpora, "RAVDESS_CLIPS", 16)
    dp.main(["--check", str(demo_folder)])
    assert "warning" not in capsys.readouterr().out


def test_main_on_a_wrong_folder_exits_2_with_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        dp.main(["--check", str(tmp_path)])
    told = capsys.readouterr()
    assert stop.value.code == 2 and not told.out
    lines = [line for line in told.err.splitlines() if not line.startswith("usage:")]
    assert len(lines) == 1 and str(tmp_path) in lines[0]


# -- loading ---------------------------------------------------------------------------------------
def test_equal_channels_are_mono_and_others_are_averaged(tmp_path):
    y = np.round(tone() / PCM) * PCM
    mono = dp.load_waveform(write(tmp_path, "mono.wav", y), **LOAD)
    stereo = dp.load_waveform(write(tmp_path, "stereo.wav", np.stack([y, y], axis=1)), **LOAD)
    left = dp.load_waveform(write(tmp_path, "left.wav", np.stack([y, 0 * y], axis=1)), **LOAD)
    assert mono.dtype == np.float32 and mono.shape == y.shape
    np.testing.assert_array_equal(mono, y)
    np.testing.assert_array_equal(stereo, mono)
    np.testing.assert_array_equal(left, mono / 2)


@pytest.mark.parametrize("name, sr", [("a.wav", 8000), ("a.wav", 22_050), ("a.wav", 44_100), ("a.wav", 48_000),
                                      ("a.flac", 48_000), ("a.flac", 16_000)])
def test_any_rate_keeps_frequency_level_and_length(name, sr, tmp_path):
    y = dp.load_waveform(write(tmp_path, name, tone(1000.0, sr=sr), sr=sr), **LOAD)
    assert y.dtype == np.float32
    assert abs(len(y) - SR) <= 1
    assert frequency(y) == pytest.approx(1000, rel=FREQUENCY)
    assert rms(y) == pytest.approx(0.3 / np.sqrt(2), rel=0.001)         # soxr's pass band: within 0.01 dB


def test_resampling_lets_no_alias_through(tmp_path):
    path = write(tmp_path, "a.wav", tone(15_000.0, sr=48_000), sr=48_000)       # over 22 050 / 2 Hz
    y = dp.load_waveform(path, **LOAD)
    assert rms(y) < 0.3 * 10 ** (-80 / 20)


def test_trimming_cuts_silence_at_both_ends_and_keeps_the_rest(tmp_path):
    quiet, loud = np.zeros(SR // 2, np.float32), tone()
    y = np.concatenate([quiet, loud, quiet, 0.1 * loud, quiet])         # -20 dB is above -30
    path = write(tmp_path, "a.wav", y)
    trimmed = dp.load_waveform(path, **LOAD | {"trim_db": 30.0})
    kept = 2.5 * SR
    assert kept <= len(trimmed) <= kept + 2 * 2048                      # at most a frame more at either end
    assert np.sum(trimmed**2) == pytest.approx(np.sum(y**2), rel=1e-4)  # 1e-4: 16 bits
    assert len(dp.load_waveform(path, **LOAD | {"trim_db": 15.0})) <= SR + 2 * 2048
    np.testing.assert_allclose(dp.load_waveform(path, **LOAD), y, atol=PCM)


@pytest.mark.parametrize("amplitude", [0.01, 0.9])
def test_peak_normalise(amplitude, tmp_path):
    path = write(tmp_path, "a.wav", tone(amplitude=amplitude))
    assert np.abs(dp.load_waveform(path, **LOAD | {"peak_normalise": True})).max() == 1
    assert np.abs(dp.load_waveform(path, **LOAD)).max() == pytest.approx(amplitude, rel=0.01)   # beside the crest


# -- augmentation ----------------------------------------------------------------------------------
def copy_of(y, copy, seed=42, file="clip.wav"):
    return dp.augment(y, seeds.generator(seed, "augment", file, copy), sr=SR, **RANGES)


def test_a_copy_depends_on_seed_clip_and_number_alone():
    y = tone(seconds=0.3)
    copies = [copy_of(y, copy) for copy in range(1, 5)]
    again = [copy_of(y, copy) for copy in (4, 3, 2, 1)][::-1]
    for one, two in zip(copies, again, strict=True):
        np.testing.assert_array_equal(one, two)
    others = [*copies, copy_of(y, 1, seed=43), copy_of(y, 1, file="other.wav"), y]
    assert all(not np.array_equal(a, b) for a, b in itertools.combinations(others, 2))


def test_draws_fill_their_ranges_and_every_combination_is_as_likely(monkeypatch):
    calls, y = [], tone(seconds=0.01)
    monkeypatch.setattr(dp, "stretch_and_shift", lambda y, **drawn: calls[-1].update(drawn) or y)
    monkeypatch.setattr(dp, "add_noise", lambda y, rng, **drawn: calls[-1].update(drawn) or y)
    for copy in range(2100):
        calls.append({"rate": 1.0, "semitones": 0.0, "snr_db": None})
        copy_of(y, copy)
    drawn = pd.DataFrame(calls).astype(float)
    combinations = pd.concat([drawn.rate != 1, drawn.semitones != 0, drawn.snr_db.notna()], axis=1).value_counts()
    assert len(combinations) == 7 and (False, False, False) not in combinations
    assert (abs(combinations - 300) < 80).all()                         # 5 standard deviations of 16
    for name, low, high in (("rate", 0.8, 1.2), ("semitones", -2, 2), ("snr_db", 30, 50)):
        values = drawn[name][~drawn[name].isin([1.0 if name == "rate" else 0.0])].dropna()
        edge = 0.02 * (high - low)                                      # 1200 draws leave none of it empty
        assert low <= values.min() < low + edge and high - edge < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=edge * 2)   # 5 standard errors


@pytest.mark.parametrize("rate", [0.8, 0.93, 1.2])
@pytest.mark.parametrize("hz", [150.0, 1000.0])
def test_stretch_changes_length_and_keeps_frequency_and_level(rate, hz):
    y = tone(hz)
    stretched = dp.stretch_and_shift(y, sr=SR, rate=rate, semitones=0.0)
    assert stretched.dtype == np.float32 and abs(len(stretched) - len(y) / rate) <= 1
    assert frequency(stretched) == pytest.approx(hz, rel=FREQUENCY)
    assert rms(stretched) == pytest.approx(rms(y), rel=0.01)


@pytest.mark.parametrize("semitones", [-2.0, -0.7, 2.0])
@pytest.mark.parametrize("hz", [150.0, 440.0, 3000.0])
def test_pitch_shift_moves_a_tone_and_keeps_length(semitones, hz):
    y = tone(hz)
    shifted = dp.stretch_and_shift(y, sr=SR, rate=1.0, semitones=semitones)
    assert len(shifted) == len(y)
    assert frequency(shifted) == pytest.approx(hz * 2 ** (semitones / 12), rel=SHIFTED_FREQUENCY)
    assert rms(shifted) == pytest.approx(rms(y), rel=0.05)              # half a decibel


@pytest.mark.parametrize("rate, semitones", [(0.8, 0.0), (1.2, 0.0), (1.0, 2.0), (0.8, -2.0)])
@pytest.mark.parametrize("at", [0.05, 0.5, 0.95])
def test_a_tone_burst_stays_in_its_place(at, rate, semitones):
    t = np.arange(SR) / SR
    burst = (np.exp(-0.5 * ((t - at) / 0.01) ** 2) * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
    moved = dp.stretch_and_shift(burst, sr=SR, rate=rate, semitones=semitones).astype(float) ** 2
    centre = (moved * np.arange(len(moved))).sum() / moved.sum() / SR
    assert centre == pytest.approx(at / rate, abs=ONSET)
    assert moved.sum() == pytest.approx((burst**2).sum() / rate, rel=0.2)       # and is not lost at an edge


@pytest.mark.parametrize("snr_db", [0.0, 30.0, 50.0])
def test_noise_is_white_and_as_far_below_the_clip_as_asked(snr_db):
    y = tone()
    added = dp.add_noise(y, np.random.default_rng(0), snr_db=snr_db) - y
    assert 10 * np.log10(np.mean(y**2) / np.mean(added**2)) == pytest.approx(snr_db, abs=0.2)   # 5 standard errors
    spectrum = np.abs(np.fft.rfft(added)) ** 2
    quarters = [part.mean() for part in np.array_split(spectrum, 4)]
    np.testing.assert_allclose(quarters, np.mean(quarters), rtol=0.1)   # 5 standard errors of 5500 bins: 7 %


@pytest.mark.parametrize("seconds", [0.05, 0.001, 1.0])
def test_copies_of_any_length_are_sound(seconds):
    y = tone(seconds=seconds)
    for copy in range(1, 15):
        altered = copy_of(y, copy)
        assert altered.dtype == np.float32 and altered.ndim == 1
        assert len(y) / 1.2 - 1 <= len(altered) <= len(y) / 0.8 + 1
        assert np.isfinite(altered).all() and 0.01 < np.abs(altered).max() < 1


# -- the cache -------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def clips(demo_folder, tmp_path_factory):
    return dp.survey(clips_in(demo_folder), tmp_path_factory.mktemp("survey"), jobs=1)


@pytest.fixture(scope="module")
def few(settings):
    """Settings with 2 copies, and clips so short that some are cut and some are padded."""
    return settings(N_AUGMENTED=2, N_FRAMES=60)


@pytest.fixture(scope="module")
def built(clips, few):
    return dp.build_features(clips, few, jobs=1)


def arrays_of(built):
    return {"lengths": built.lengths, "trimmed_seconds": built.trimmed_seconds,
            **{(kind, name): array for kind in ("sequences", "functionals")
               for name, array in getattr(built, kind).items()}}


def assert_same(one, two, rows=slice(None)):
    one, two = arrays_of(one), arrays_of(two)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name][rows], two[name], err_msg=str(name))


def test_shapes(built):
    widths = {"mfcc": 40, "mel": 128, "gauss": 40}
    assert {name: x.shape for name, x in built.sequences.items()} == {n: (16, 3, 60, w) for n, w in widths.items()}
    assert {name: x.shape for name, x in built.functionals.items()} == {n: (16, 3, 13 * w) for n, w in widths.items()}
    assert built.lengths.shape == (16, 3) and built.trimmed_seconds.shape == (16,)
    assert all(isinstance(x, np.memmap) and x.dtype == np.float32
               for x in (*built.sequences.values(), *built.functionals.values()))


def test_a_second_call_computes_nothing(built, clips, few, monkeypatch):
    monkeypatch.setattr(dp, "extract_corpus", None)
    assert_same(dp.build_features(clips, few), built)


def by_hand(y, frames):
    """Features of a waveform, cut to its middle or padded, and the number of real frames."""
    with threadpool_limits(1):                                          # more threads add up in another order
        extracted, cut = features.extract(y, **config.FEATURE_SETTINGS), {}
    for name, x in extracted.items():
        spare = max(0, (len(x) - frames) // 2)
        x = x[spare:][:frames]
        cut[name] = np.concatenate([x, np.zeros((frames - len(x), x.shape[1]), np.float32)])
    return cut, len(x)


def test_a_version_is_what_it_is_by_hand(built, clips):
    cuts = 0
    for row, clip in enumerate(clips.itertuples()):
        y = dp.load_waveform(clip.path, **config.LOADING_SETTINGS)
        copies = [copy_of(y, copy, seed=config.SEED, file=clip.file) for copy in (1, 2)]
        assert built.trimmed_seconds[row] == len(y) / SR
        for version, waveform in enumerate([y, *copies]):
            expected, real = by_hand(waveform, 60)
            assert built.lengths[row, version] == real == min(60, 1 + len(waveform) // config.HOP_LENGTH)
            cuts += 1 + len(waveform) // config.HOP_LENGTH > 60
            for name, x in expected.items():
                np.testing.assert_array_equal(built.sequences[name][row, version], x)
                np.testing.assert_allclose(built.functionals[name][row, version],
                                           features.functionals(x[None, :real], np.array([real]))[0], rtol=1e-6)
    assert 0 < cuts < 48                                                # both ways were taken


def test_rows_do_not_depend_on_processes_order_or_company(built, clips, few):
    some = clips[:1:-1].reset_index(drop=True)                          # 14: two batches of up to 8
    elsewhere = SimpleNamespace(**vars(few) | {"CACHE_DIR": few.CACHE_DIR / "two processes"})
    assert_same(built, dp.build_features(some, elsewhere, jobs=2), rows=slice(None, 1, -1))


def test_without_copies_there_is_the_clip_alone(clips, settings, built):
    alone = dp.build_features(clips[:2], settings(N_AUGMENTED=0, N_FRAMES=60), jobs=1)
    np.testing.assert_array_equal(alone.sequences["mfcc"], built.sequences["mfcc"][:2, :1])


@pytest.mark.parametrize("change", [
    {"SEED": 43}, {"N_AUGMENTED": 3}, {"N_FRAMES": 61},
    *({"LOADING_SETTINGS": config.LOADING_SETTINGS | {name: 1}} for name in config.LOADING_SETTINGS),
    *({"FEATURE_SETTINGS": config.FEATURE_SETTINGS | {name: 1}} for name in config.FEATURE_SETTINGS),
    *({"AUGMENTATION_SETTINGS": config.AUGMENTATION_SETTINGS | {name: 1}} for name in config.AUGMENTATION_SETTINGS),
], ids=lambda change: "-".join(change))
def test_a_changed_setting_is_another_entry(change, clips, few, built):
    assert dp.features_key(clips, SimpleNamespace(**vars(few) | change)) != built.key


def test_what_does_not_touch_the_features_keeps_the_entry(clips, few, built):
    other = {"EPOCHS": {}, "N_FOLDS": 3, "RESULTS_DIR": "elsewhere", "CACHE_DIR": "elsewhere", "FEATURES": ("mel",)}
    assert dp.features_key(clips, SimpleNamespace(**vars(few) | other)) == built.key


def test_changed_code_is_another_entry(clips, few, built, monkeypatch):
    seen = []
    monkeypatch.setattr(dp, "code_fingerprint", lambda *files: seen.extend(files) or "changed")
    assert dp.features_key(clips, few) != built.key
    assert {features.__file__, dp.__file__} <= set(seen)


@pytest.mark.parametrize("change, same", [("nothing", True), ("time", True), ("header", True), ("content", False),
                                          ("fewer", False), ("renamed", False)])
def test_other_sounds_are_another_entry(change, same, demo_folder, few, built, tmp_path):
    folder = shutil.copytree(demo_folder, tmp_path / "data")
    first = files_of(folder)[0]
    match change:
        case "time":
            os.utime(first)
        case "header":
            first.write_bytes(with_chunk(first.read_bytes()))
        case "content":
            y, sr = soundfile.read(first, dtype="int16")
            y[1000] += 1
            write(folder, first.relative_to(folder), y, sr=sr)
        case "fewer":
            first.unlink()
        case "renamed":
            first.rename(first.with_name(clip_name(statement="02", repetition="02")))
    clips = dp.survey(clips_in(folder), tmp_path, jobs=1)
    assert (dp.features_key(clips, few) == built.key) == same


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_a_stop_half_way_leaves_nothing_and_the_next_call_builds_all(stop, clips, settings, monkeypatch):
    now, count, extract_clip = settings(N_AUGMENTED=0), itertools.count(), dp.extract_clip

    def fails_at_the_third(*args, **kwargs):
        if next(count) == 2:
            raise stop
        return extract_clip(*args, **kwargs)

    with monkeypatch.context() as patched, pytest.raises(stop):
        patched.setattr(dp, "extract_clip", fails_at_the_third)
        dp.build_features(clips[:4], now, jobs=1)
    assert next(count) == 3                                             # it did begin
    assert not list(now.CACHE_DIR.iterdir())
    assert dp.build_features(clips[:4], now, jobs=1).lengths.all()


def test_when_another_process_was_faster_its_entry_is_used(clips, settings, monkeypatch):
    now, extract_clip = settings(N_AUGMENTED=0), dp.extract_clip
    other = dp.build_features(clips[:2], settings(N_AUGMENTED=0), jobs=1)

    def overtaken(*args, **kwargs):
        shutil.copytree(other.folder, now.CACHE_DIR / os.path.basename(other.folder), dirs_exist_ok=True)
        return extract_clip(*args, **kwargs)

    monkeypatch.setattr(dp, "extract_clip", overtaken)
    assert_same(dp.build_features(clips[:2], now, jobs=1), other)
    assert len(list(now.CACHE_DIR.iterdir())) == 1


def test_leftovers_of_a_killed_process_do_no_harm(clips, settings):
    now = settings(N_AUGMENTED=0)
    entry = f"features-{dp.features_key(clips[:2], now)}"
    same_id, running, old = (now.CACHE_DIR / f"{entry}.{process}.partial" for process in (os.getpid(), "other", "old"))
    for folder in (same_id, running, old):                              # in containers process ids repeat
        folder.mkdir()
        (folder / "mel-sequences.npy").write_bytes(b"half")
    os.utime(old, (0, 0))
    assert dp.build_features(clips[:2], now, jobs=1).lengths.shape == (2, 1)
    assert {path.name for path in now.CACHE_DIR.iterdir()} == {entry, running.name}


@pytest.mark.parametrize("length, start, real", [(3, 0, 3), (5, 0, 5), (6, 0, 5), (9, 2, 5), (50, 22, 5)])
def test_fit_length_pads_the_end_or_keeps_the_middle(length, start, real):
    x = np.arange(1.0, length + 1)[:, None]
    fitted, frames = dp.pad_or_crop(x, 5)
    assert frames == real
    np.testing.assert_array_equal(fitted[:, 0], [*x[start:start + real, 0], *[0] * (5 - real)])


# -- normalisation ---------------------------------------------------------------------------------
@pytest.fixture
def ragged():
    """Ten clips of 3 to 12 frames and 4 columns, columns far apart in level and spread, padding 0."""
    rng = np.random.default_rng(0)
    lengths = np.arange(3, 13)
    x = (rng.normal(size=(10, 12, 4)) * [0.1, 1, 10, 100] + [-500, 0, 5, 50]).astype(np.float32)
    x[np.arange(12) >= lengths[:, None]] = 0
    return x, lengths


def test_normalised_real_frames_have_zero_mean_and_unit_variance(ragged):
    x, lengths = ragged
    normal = dp.standardise(x, *dp.fit_scaler(x, lengths), lengths)
    real = np.concatenate([clip[:length] for clip, length in zip(normal, lengths, strict=True)])
    np.testing.assert_allclose(real.mean(axis=0), 0, atol=1e-3)         # float32 at 500 steps by 3e-5, spread 0.1
    np.testing.assert_allclose(real.std(axis=0), 1, atol=1e-3)
    assert normal.dtype == np.float32


def test_normaliser_of_some_rows_is_that_of_these_rows_read_in_pieces(ragged, monkeypatch):
    x, lengths = ragged
    rows = np.array([7, 2, 9, 4])
    whole = dp.fit_scaler(x[rows], lengths[rows])
    monkeypatch.setattr(dp, "ROWS_AT_ONCE", 3)
    for one, two in zip(whole, dp.fit_scaler(x, lengths, rows), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)


def test_padding_is_exactly_0_and_never_counts(ragged):
    x, lengths = ragged
    padding = np.arange(12) >= lengths[:, None]
    for garbage in (1e6, np.nan):
        filled = x.copy()
        filled[padding] = garbage
        for one, two in zip(dp.fit_scaler(x, lengths), dp.fit_scaler(filled, lengths), strict=True):
            np.testing.assert_array_equal(one, two)
        before = filled.copy()
        normal = dp.standardise(filled, *dp.fit_scaler(x, lengths), lengths)
        assert (normal[padding] == 0).all() and (normal[~padding] != 0).all()
        np.testing.assert_array_equal(filled, before)                   # the input is left alone


def test_the_normaliser_sees_only_the_clips_it_is_given(ragged):
    x, lengths = ragged
    train, test = np.arange(7), np.arange(7, 10)
    before = dp.fit_scaler(x[train], lengths[train])
    changed = x.copy()
    changed[test] *= 10
    for one, two in zip(before, dp.fit_scaler(changed[train], lengths[train]), strict=True):
        np.testing.assert_array_equal(one, two)
    changed[train[0]] *= 10
    assert not np.array_equal(before[0], dp.fit_scaler(changed[train], lengths[train])[0])


def test_vectors_and_constant_columns_are_normalised_too(ragged):
    rows = ragged[0][:, 0].copy()                                       # (clips, n): no frames, no padding
    rows[:, 1] = 7
    normal = dp.standardise(rows, *dp.fit_scaler(rows))
    np.testing.assert_allclose(normal.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(normal.std(axis=0), [1, 0, 1, 1], atol=1e-3)


def test_a_normalised_column_varies_as_much_as_it_weighs(ragged):
    """Of functionals, which are several of each column: the same weights again and again."""
    x, lengths = ragged
    weights = np.array([2, 1, 0.5, 0.1])
    normal = dp.standardise(x, *dp.fit_scaler(x, lengths, weights=weights), lengths)
    real = np.concatenate([clip[:length] for clip, length in zip(normal, lengths, strict=True)])
    np.testing.assert_allclose(real.std(axis=0), weights, rtol=1e-3)
    twice = np.concatenate([x[:, 0], x[:, 0] ** 2], axis=1)                     # (clips, 2 n)
    normal = dp.standardise(twice, *dp.fit_scaler(twice, weights=weights))
    np.testing.assert_allclose(normal.std(axis=0), [*weights, *weights], rtol=1e-3)


# -- results: files written whole, and what code does ----------------------------------------------
def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "new folder" / "table.csv"
    with write_atomically(path) as draft:
        draft.write_text("old")
        assert draft.suffix == ".csv" and not path.exists()
    assert path.read_text() == "old"
    with pytest.raises(KeyboardInterrupt), write_atomically(path) as draft:
        draft.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with write_atomically(path) as draft:
        draft.write_text("new")
    assert path.read_text() == "new"
    assert files_of(tmp_path) == [path]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a full disk at hand is Linux's alone")
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / f".{os.getpid()}.table.csv").symlink_to("/dev/full")            # where the draft is to be
    with pytest.raises(OSError, match=r"No space left.*'\S+/table\.csv'"):
        write_csv(tmp_path / "table.csv", pd.DataFrame({"a": [1]}))
    assert not list(tmp_path.iterdir())


def test_a_disk_too_small_for_the_features_is_an_error_before_they_are_filled(clips, settings, monkeypatch):
    """Not a signal that kills, as a page of a memory map is that has no room."""
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    now = settings(N_AUGMENTED=0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left.*\.npy"):
        dp.build_features(clips[:2], now, jobs=1)
    assert not list(now.CACHE_DIR.iterdir())


SOURCE = '"""About."""\n\n\ndef f(x):\n    """Doubles."""\n    return 2 * x    # twice\n'


@pytest.mark.parametrize("source, same", [
    (SOURCE.replace("# twice", "# two times"), True), (SOURCE.replace("Doubles", "Twice"), True),
    (SOURCE.replace("About", "On"), True), (SOURCE.replace("2 * x", "(2*x)"), True),
    (SOURCE.replace("    # twice", "").replace('    """Doubles."""\n', ""), True),
    (SOURCE.replace("2", "3"), False), (SOURCE.replace("*", "+"), False), (SOURCE + "\nG = 1\n", False),
    (SOURCE.replace("f(x)", "f(x, y=1)"), False)])
def test_a_fingerprint_sees_what_code_does_and_nothing_else(source, same, tmp_path):
    for name, text in (("one.py", SOURCE), ("two.py", source)):
        (tmp_path / name).write_text(text)
    one, two = (code_fingerprint(tmp_path / name) for name in ("one.py", "two.py"))
    assert (one == two) == same


# -- the real data ---------------------------------------------------------------------------------
def test_ravdess_is_what_its_authors_published(ravdess, tmp_path):
    found = corpora.find_corpus(ravdess)
    clips, left_out = dp.survey(found.clips, tmp_path), found.left_out  # raises if any file is bad
    assert len(clips) == found.complete == 1440
    assert not (left_out["bad name"] or left_out["song"] or left_out["video"])
    assert clips.emotion.value_counts().to_dict() == dict.fromkeys(config.CLASSES, 192) | {"neutral": 96}
    assert clips.actor.value_counts().to_dict() == dict.fromkeys(range(1, 25), 60)
    assert clips.groupby("sex").actor.nunique().to_dict() == {"female": 12, "male": 12}
    assert (clips.seconds.min().round(2), clips.seconds.max().round(2)) == (2.94, 5.27)
    assert {path.split(os.sep)[-1] for path in clips.path if soundfile.info(path).channels == 2} == {
        "03-01-02-01-01-02-01.wav", "03-01-08-01-02-02-01.wav", "03-01-02-01-02-02-05.wav",
        "03-01-03-01-02-01-20.wav", "03-01-06-01-01-02-20.wav"}
    assert [list(same) for _, same in clips.groupby("recording").file if len(same) > 1] == [
        ["03-01-03-01-02-01-07.wav", "03-01-03-01-02-02-07.wav"]]
