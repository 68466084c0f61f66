"""Survey, data report, augmentation and the cache of features, on files written here and on the real data."""
import errno
import itertools
import os
import re
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from sounds import SR, clip_name, files_of, tone, write
from test_audio import FREQUENCY, PCM, frequency, rms, with_chunk, write_broken_files
from threadpoolctl import threadpool_limits

import config
import data_preprocessing as dp
import features
from ser import corpora, seeds, survey
from ser.audio import load_waveform
from ser.errors import UserError, run_command

RANGES = {"stretch_rate": (0.8, 1.2), "pitch_semitones": (-2.0, 2.0), "noise_snr_db": (30.0, 50.0)}
SHIFTED_FREQUENCY = 0.01    # relative, a sixth of a semitone; the shifter is off by 12 cents at 150 Hz
ONSET = 0.002               # s; a tenth of a frame step, and a thirtieth of the stretcher's latency of 60 ms


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


def test_names_that_differ_in_their_ending_alone_are_two_recordings():
    clips = pd.DataFrame(dict(file=["a.wav", "a.flac", "s1.happy", "b.wav", "b2.wav"], sound=list("12344")))
    assert list(survey.recording_groups(clips)) == ["a.wav", "a.flac", "s1", "b", "b"]


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
    assert f"same recording in several clips, kept on one side of every split: 1 ({', '.join(names[:4])})" in text


def test_many_recordings_of_several_clips_are_one_line(tmp_path):
    """With their number, and the first few names."""
    write(tmp_path / "Actor_01", clip_name())
    clips = dp.survey(clips_in(tmp_path), tmp_path / "cache", jobs=1)
    clips = pd.concat([clips] * 12, ignore_index=True).assign(file=[f"{k:02d}.wav" for k in range(12)])
    clips["recording"] = [f"{k // 2 % 5}" for k in range(12)]           # one of four clips, four of two
    text = dp.data_report(corpora.find_corpus(tmp_path), clips)
    assert [line for line in text.splitlines() if "same recording" in line] == [
        "same recording in several clips, kept on one side of every split: 5 (00.wav, 01.wav, 10.wav, 11.wav; "
        "02.wav, 03.wav; 04.wav, 05.wav, and 2 more)"]



def test_a_survey_is_kept_and_reads_back_the_same(demo_folder, tmp_path, monkeypatch):
    first = dp.survey(clips_in(demo_folder), tmp_path, jobs=1)
    monkeypatch.setattr("ser.survey.inspect_clip", None)                       # a second look would fail
    pd.testing.assert_frame_equal(dp.survey(clips_in(demo_folder), tmp_path, jobs=1), first, check_exact=True)


def test_a_survey_notices_a_changed_file(demo_folder, tmp_path):
    folder = shutil.copytree(demo_folder, tmp_path / "data")
    first = dp.survey(clips_in(folder), tmp_path, jobs=1)
    write(folder, f"Actor_01/{first.file[0]}", tone(seconds=0.5))
    second = dp.survey(clips_in(folder), tmp_path, jobs=1)
    assert second.seconds[0] == 0.5 != first.seconds[0]
    pd.testing.assert_frame_equal(second[1:], first[1:], check_dtype=False)


def test_all_bad_files_are_listed_at_once(tmp_path):
    broken = write_broken_files(tmp_path)
    good = [write(tmp_path, f"Actor_20/{clip_name(actor='20')}").name]
    cut_trailer = with_chunk(write(tmp_path, f"Actor_21/{clip_name(actor='21')}").read_bytes())
    (tmp_path / "Actor_21" / clip_name(actor="21")).write_bytes(cut_trailer + b"LIST" + struct.pack("<I", 99))
    good.append(clip_name(actor="21"))                                  # its samples are all there
    with pytest.raises(UserError) as raised:
        dp.survey(clips_in(tmp_path), tmp_path / "cache", jobs=2)
    first, *lines = str(raised.value).splitlines()
    assert first.startswith(f"{len(broken)} of {len(broken) + len(good)} clips cannot be used")
    messages = dict(line.strip().split(": ", 1) for line in lines)
    assert messages.keys() == broken.keys()
    assert all(reason in messages[name] for name, reason in broken.items()), messages
    assert not (tmp_path / "cache").exists()                            # nor remembered as good


def test_git_lfs_pointers_are_one_line(tmp_path):
    for actor in ("01", "02", "03"):
        path = tmp_path / f"Actor_{actor}" / clip_name(actor=actor)
        path.parent.mkdir()
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 73000\n")
    with pytest.raises(UserError) as raised:
        dp.survey(clips_in(tmp_path), tmp_path / "cache", jobs=1)
    _, line = str(raised.value).splitlines()
    assert line.startswith("  3 files, such as") and line.endswith("are Git LFS pointers, not sound: git lfs pull")


def test_a_cut_clip_is_used_and_named_in_the_report(tmp_path):
    whole = write(tmp_path, f"Actor_01/{clip_name()}")
    cut = write(tmp_path, f"Actor_02/{clip_name(actor='02')}")
    cut.write_bytes(cut.read_bytes()[:-2000])
    clips = dp.survey(clips_in(tmp_path), tmp_path / "cache", jobs=1)
    text = dp.data_report(corpora.find_corpus(tmp_path), clips)
    assert f"promises more sound than the 1.0 s that are there: 1 ({cut.name})" in text and whole.name not in text


def test_the_report_counts(mixed_folder, tmp_path):
    found = corpora.find_corpus(mixed_folder)
    text = dp.data_report(found, dp.survey(found.clips, tmp_path / "cache", jobs=1))
    hours = sum(soundfile.info(path).duration for path in found.clips.path) / 3600
    assert text.startswith(f"RAVDESS speech: 16 clips, 1 actor (16 clips each), {hours:.2f} hours")
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
    dp.main(dp.parse(["--check", str(demo_folder)]))
    assert re.search(r"^warning: .*1440.*\b16\b", capsys.readouterr().out, re.MULTILINE)
    monkeypatch.setattr(corpora, "RAVDESS_CLIPS", 16)
    dp.main(dp.parse(["--check", str(demo_folder)]))
    assert "warning" not in capsys.readouterr().out


def test_main_on_a_wrong_folder_exits_2_with_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run_command("data_preprocessing.py", dp.main, dp.parse(["--check", str(tmp_path)]))
    printed = capsys.readouterr()
    assert stop.value.code == 2 and not printed.out
    assert printed.err.startswith(f"data_preprocessing.py: error: {tmp_path}: no RAVDESS clips")
    assert len(printed.err.splitlines()) == 1


def test_main_looks_where_config_says(demo_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("RAVDESS_DIR", raising=False)
    monkeypatch.setattr(config, "CACHE_DIR", tmp_path)
    monkeypatch.setattr(config, "DATA_DIR", demo_folder)
    dp.main(dp.parse([]))
    assert "16 clips" in capsys.readouterr().out


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


ALL = ("mfcc", "mel", "gauss")
SECONDS = 59.5 * config.HOP_LENGTH / config.SAMPLE_RATE                 # of 60 frames: some clips are cut, some padded


@pytest.fixture(scope="module")
def few(settings):
    """Settings with 2 copies of each clip, and 60 frames."""
    return settings(N_AUGMENTED=2, CLIP_SECONDS=SECONDS)


@pytest.fixture(scope="module")
def extraction(few):
    return dp.extraction_params(few, ALL)


@pytest.fixture(scope="module")
def built(clips, extraction, few):
    return dp.build_features(clips, extraction, few.CACHE_DIR, jobs=1)


@pytest.fixture
def plain(settings):
    """Extraction without copies."""
    return dp.extraction_params(settings(N_AUGMENTED=0), ALL)


def arrays_of(built):
    return {"trimmed_seconds": built.trimmed_seconds,
            **{(kind, name): array for kind in ("sequences", "functionals", "lengths")
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
    assert built.lengths["mfcc"].shape == (16, 3) and built.trimmed_seconds.shape == (16,)
    assert all(isinstance(x, np.memmap) and x.dtype == np.float32
               for x in (*built.sequences.values(), *built.functionals.values()))


def test_a_second_call_computes_nothing(built, clips, extraction, few, monkeypatch):
    monkeypatch.setattr(dp, "extract_corpus", None)
    again = dp.build_features(clips, extraction, few.CACHE_DIR)
    assert_same(again, built)
    keys = {name: dp.features_key(clips, extraction.of_feature(name)) for name in ALL}
    assert again.folders == built.folders == {
        name: str(few.CACHE_DIR / f"features-{name}-{key}") for name, key in keys.items()}


def test_only_the_feature_that_is_not_there_is_computed(clips, plain, tmp_path, monkeypatch):
    first = dp.build_features(clips[:2], replace(plain, names=("mfcc", "gauss")), tmp_path, jobs=1)
    asked, extract_clip = [], dp.extract_clip
    monkeypatch.setattr(dp, "extract_clip", lambda *args, **more: asked.append(more["extraction"].names)
                        or extract_clip(*args, **more))
    both = dp.build_features(clips[:2], replace(plain, names=("mfcc", "mel")), tmp_path, jobs=1)
    assert asked == [("mel",)] * 2 and both.folders["mfcc"] == first.folders["mfcc"]
    np.testing.assert_array_equal(both.sequences["mfcc"], first.sequences["mfcc"])
    assert len(list(tmp_path.iterdir())) == 3


def by_hand(y, frames, params):
    """Features of a waveform, cut to its middle or padded, and the number of real frames."""
    with threadpool_limits(1):                                          # more threads add up in another order
        extracted, cut = features.extract(y, ALL, **params), {}
    for name, x in extracted.items():
        spare = max(0, (len(x) - frames) // 2)
        x = x[spare:][:frames]
        cut[name] = np.concatenate([x, np.zeros((frames - len(x), x.shape[1]), np.float32)])
    return cut, len(x)


def test_every_variant_is_as_computed_by_hand(built, clips):
    params = dict(sr=SR, n_fft=2048, hop_length=512, n_mels=128, n_mfcc=40, n_gauss=64, n_gauss_coefficients=40,
                  fmin=0.0, fmax=SR / 2, top_db=80.0, mean_subtraction=0.0)
    cuts = 0
    for row, clip in enumerate(clips.itertuples()):
        y = load_waveform(clip.path, sr=SR, trim_db=30.0, level="recorded")
        copies = [copy_of(y, copy, seed=config.SEED, file=clip.file) for copy in (1, 2)]
        assert built.trimmed_seconds[row] == len(y) / SR
        for variant, waveform in enumerate([y, *copies]):
            expected, real = by_hand(waveform, 60, params)
            assert built.lengths["mfcc"][row, variant] == real == min(60, 1 + len(waveform) // config.HOP_LENGTH)
            cuts += 1 + len(waveform) // config.HOP_LENGTH > 60
            for name, x in expected.items():
                np.testing.assert_array_equal(built.sequences[name][row, variant], x)
                np.testing.assert_allclose(built.functionals[name][row, variant],
                                           features.functionals(x[None, :real], np.array([real]))[0], rtol=1e-6)
    assert 0 < cuts < 48                                                # both ways were taken


def test_copies_and_no_originals_are_warped(built, clips, extraction, tmp_path):
    low, high = 0.9, 1.2
    warped = dp.build_features(clips[:2], replace(extraction, vocal_tract_warp=(low, high)), tmp_path, jobs=1)
    np.testing.assert_array_equal(warped.sequences["mfcc"][:, 0], built.sequences["mfcc"][:2, 0])
    for row, clip in enumerate(clips[:2].itertuples()):
        y = load_waveform(clip.path, sr=SR, trim_db=30.0, level="recorded")
        for copy in (1, 2):
            factor = seeds.generator(config.SEED, "warp", clip.file, copy).uniform(low, high)
            waveform = copy_of(y, copy, seed=config.SEED, file=clip.file)
            with threadpool_limits(1):
                x = features.extract(waveform, ("mfcc",), factor, **extraction.params)["mfcc"]
            real = warped.lengths["mfcc"][row, copy]
            np.testing.assert_array_equal(warped.sequences["mfcc"][row, copy][:real], features.pad_or_crop(x, real)[0])


def test_rows_do_not_depend_on_processes_order_or_company(built, clips, extraction, tmp_path):
    some = clips[:1:-1].reset_index(drop=True)                          # 14: two batches of up to 8
    assert_same(built, dp.build_features(some, extraction, tmp_path, jobs=2), rows=slice(None, 1, -1))


def test_a_feature_does_not_depend_on_the_others_asked_for(built, clips, extraction, tmp_path):
    alone = dp.build_features(clips[:2], replace(extraction, names=("gauss",)), tmp_path, jobs=1)
    assert alone.sequences.keys() == alone.functionals.keys() == {"gauss"}
    np.testing.assert_array_equal(alone.sequences["gauss"], built.sequences["gauss"][:2])


def test_without_copies_there_is_the_clip_alone(clips, extraction, built, tmp_path):
    alone = dp.build_features(clips[:2], replace(extraction, n_augmented=0), tmp_path, jobs=1)
    np.testing.assert_array_equal(alone.sequences["mfcc"], built.sequences["mfcc"][:2, :1])


CHANGES = dict(
    SAMPLE_RATE=16_000, TRIM_DB=20.0, LEVEL="speech", CLIP_SECONDS=2.0, N_FFT=1024, HOP_LENGTH=256, N_MELS=64,
    N_MFCC=13, N_GAUSS=32, N_GAUSS_COEFFICIENTS=13, F_MIN=50.0, F_MAX=8000.0, TOP_DB=60.0, N_AUGMENTED=3,
    STRETCH_RATE=(0.9, 1.1), PITCH_SEMITONES=(-1.0, 1.0), NOISE_SNR_DB=(40.0, 50.0), ALTERATIONS=("room",),
    MEAN_SUBTRACTION=0.5, VOCAL_TRACT_WARP=(0.9, 1.1), ADAPT="speaker", SEED=43)


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_setting_is_another_entry(name, clips, few, extraction):
    changed = dp.extraction_params(few.replace(**{name: CHANGES[name]}), ALL)
    assert dp.features_key(clips, changed) != dp.features_key(clips, extraction)


def test_what_does_not_touch_the_features_keeps_the_entry(clips, few, extraction):
    """Every other setting of config.py."""
    others = {name: "changed" for name in few.values() if name not in CHANGES}
    assert {"N_FOLDS", "MODELS", "CACHE_DIR", "DEFAULT_FEATURES", "CEPSTRAL_DECAY"} <= set(others)
    changed = dp.extraction_params(few.replace(**others), ALL)
    assert dp.features_key(clips, changed) == dp.features_key(clips, extraction)


def test_other_features_are_another_entry(clips, few, extraction):
    assert dp.features_key(clips, dp.extraction_params(few, ("mfcc", "mel"))) != dp.features_key(clips, extraction)


@pytest.mark.parametrize("names", [ALL, ("mel",)])
def test_changed_code_is_another_entry(names, clips, few, monkeypatch):
    """Code of features that are not asked for does not count."""
    extraction, asked = dp.extraction_params(few, names), []
    before = dp.features_key(clips, extraction)
    monkeypatch.setattr(dp, "code_hash", lambda *names, **_: asked.extend(names) or "changed")
    assert dp.features_key(clips, extraction) != before
    assert set(asked) == {"data_preprocessing:extract_clip", *(f"features:{name}" for name in names)}


def test_another_version_of_a_library_is_another_entry(clips, extraction, monkeypatch):
    version, before = dp.importlib.metadata.version, dp.features_key(clips, extraction)
    monkeypatch.setattr(dp.importlib.metadata, "version", lambda name: "0" if name == "soxr" else version(name))
    assert dp.features_key(clips, extraction) != before


@pytest.mark.parametrize("changes, message", [
    (dict(F_MAX=16_000), "F_MAX = 16000 is above half of SAMPLE_RATE"),
    (dict(SAMPLE_RATE=8000, F_MAX=4000.5), "F_MAX = 4000.5 is above half of SAMPLE_RATE"),
    (dict(F_MIN=12_000.0), "F_MIN = 12000.0 is not below F_MAX = 11025.0"),
    (dict(F_MIN=300, F_MAX=300), "F_MIN = 300 is not below F_MAX = 300")])
def test_filters_that_cannot_be_are_an_error(changes, message, settings):
    with pytest.raises(UserError, match=re.escape(message)):
        dp.extraction_params(settings(**changes), ALL)


@pytest.mark.parametrize("f_max", [None, 11_025])
def test_the_filterbanks_reach_half_of_the_sample_rate_where_f_max_is_none(f_max, settings):
    assert dp.extraction_params(settings(F_MAX=f_max), ALL).params["fmax"] == 11_025


@pytest.mark.parametrize("change, same", [("nothing", True), ("time", True), ("header", True), ("content", False),
                                          ("fewer", False), ("renamed", False)])
def test_other_sounds_are_another_entry(change, same, demo_folder, extraction, tmp_path):
    folder = shutil.copytree(demo_folder, tmp_path / "data")
    first = files_of(folder)[0]
    before = dp.features_key(dp.survey(clips_in(folder), tmp_path, jobs=1), extraction)
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
    assert (dp.features_key(clips, extraction) == before) == same


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_a_stop_half_way_leaves_nothing_and_the_next_call_builds_all(stop, clips, plain, tmp_path, monkeypatch):
    count, extract_clip = itertools.count(), dp.extract_clip

    def fails_at_the_third(*args, **kwargs):
        if next(count) == 2:
            raise stop
        return extract_clip(*args, **kwargs)

    with monkeypatch.context() as patched, pytest.raises(stop):
        patched.setattr(dp, "extract_clip", fails_at_the_third)
        dp.build_features(clips[:4], plain, tmp_path, jobs=1)
    assert next(count) == 3                                             # it did begin
    assert not list(tmp_path.iterdir())
    assert dp.build_features(clips[:4], plain, tmp_path, jobs=1).lengths["mfcc"].all()


def test_when_another_process_was_faster_its_entry_is_used(clips, plain, tmp_path, monkeypatch):
    cache_dir, extract_clip = tmp_path / "cache", dp.extract_clip
    other = dp.build_features(clips[:2], plain, tmp_path / "other", jobs=1)

    def overtaken(*args, **kwargs):
        for folder in other.folders.values():
            shutil.copytree(folder, cache_dir / os.path.basename(folder), dirs_exist_ok=True)
        return extract_clip(*args, **kwargs)

    monkeypatch.setattr(dp, "extract_clip", overtaken)
    assert_same(dp.build_features(clips[:2], plain, cache_dir, jobs=1), other)
    assert len(list(cache_dir.iterdir())) == len(ALL)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def zero_a_block(path):
    content = path.read_bytes()
    path.write_bytes(content[:128] + bytes(80) + content[208:])            # the first frames, behind the header


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), zero_a_block, flip_a_bit, os.remove],
                         ids=["empty", "zeros", "a bit", "missing"])
def test_a_damaged_entry_is_named_and_made_anew(damage, clips, plain, tmp_path, capsys):
    whole = dp.build_features(clips[:2], plain, tmp_path / "whole", jobs=1)
    entry = Path(dp.build_features(clips[:2], plain, tmp_path, jobs=1).folders["mfcc"])
    damage(entry / "sequences.npy")
    assert_same(dp.build_features(clips[:2], plain, tmp_path, jobs=1), whole)
    assert re.search(rf"{entry}: damaged \(sequences.npy .*\), made anew", capsys.readouterr().err)


def test_a_damaged_survey_is_named_and_made_anew(demo_folder, tmp_path, capsys):
    first = dp.survey(clips_in(demo_folder), tmp_path, jobs=1)
    (facts,) = tmp_path.glob("survey-*/facts.csv")
    facts.write_text("".join(facts.read_text().splitlines(True)[:9]))           # half of it, cut between two lines
    pd.testing.assert_frame_equal(dp.survey(clips_in(demo_folder), tmp_path, jobs=1), first)
    assert "facts.csv has" in capsys.readouterr().err


def test_other_sound_of_the_same_size_and_time_is_noticed(demo_folder, tmp_path):
    folder = shutil.copytree(demo_folder, tmp_path / "data")
    first = dp.survey(clips_in(folder), tmp_path, jobs=1)
    path, stat = Path(first.path[0]), os.stat(first.path[0])
    samples, rate = soundfile.read(path, dtype="int16")
    soundfile.write(path, samples[::-1], rate)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert os.stat(path).st_size == stat.st_size and os.stat(path).st_mtime_ns == stat.st_mtime_ns
    assert (dp.survey(clips_in(folder), tmp_path, jobs=1).sound != first.sound).tolist() == [True] + [False] * 15


def test_a_clip_that_changes_after_the_survey_is_an_error_and_nothing_is_kept(demo_folder, plain, tmp_path):
    folder = shutil.copytree(demo_folder, tmp_path / "data")
    clips = dp.survey(clips_in(folder), tmp_path / "survey", jobs=1)[:3]
    shutil.copy(clips.path[0], clips.path[2])
    with pytest.raises(UserError, match=rf"{clips.file[2]}: has changed since the clips were surveyed; start again"):
        dp.build_features(clips, plain, tmp_path / "cache", jobs=1)
    Path(clips.path[2]).write_text("no sound")
    with pytest.raises(UserError, match=rf"{clips.file[2]}: not readable as audio"):
        dp.build_features(clips, plain, tmp_path / "cache", jobs=1)
    assert not list((tmp_path / "cache").iterdir())


def test_a_disk_too_small_for_the_features_is_an_error_before_they_are_filled(clips, plain, tmp_path, monkeypatch):
    """Not a signal that kills, as a page of a memory map is that has no room."""
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left.*\.npy"):
        dp.build_features(clips[:2], plain, tmp_path, jobs=1)
    assert not list(tmp_path.iterdir())


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


def test_what_a_corpus_lacks_is_said_in_the_report(tmp_path):
    rows = [("a.wav", "sad", "01"), ("b.wav", "sad", "1"), ("c.wav", "happy", "2"), ("d.wav", "happy", "2"),
            ("e.wav", "awe", "2")]
    for number, (name, _, _) in enumerate(rows):
        write(tmp_path, name, tone(hz=200 + 50 * number))
    (tmp_path / "my.csv").write_text("path,emotion,speaker\n" + "\n".join(map(",".join, rows)) + "\n")
    corpus = corpora.find_corpus(tmp_path / "my.csv")
    text = dp.data_report(corpus, dp.survey(corpus.clips, tmp_path / "cache", jobs=1))
    assert "warning: a single clip of awe, so it is in training or in test" in text and "of sad" not in text
    assert "warning: speakers '01' and '1' are taken for two" in text
