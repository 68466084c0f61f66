"""Facts of recordings, by sounds of which they are known, and the notes on what a model has not met."""
import numpy as np
import pandas as pd
import pytest
from sounds import tone

from ser import alterations, facts

SR = 44_100
RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 0.05, 3 * SR).astype(np.float32)


def test_the_level_is_that_of_the_loudest_half_second():
    y = np.concatenate([0 * tone(sr=SR, seconds=2), tone(sr=SR, seconds=0.6, amplitude=0.1), 0 * tone(sr=SR)])
    assert facts.recording_facts(y, SR)["level_dbfs"] == pytest.approx(20 * np.log10(0.1 / np.sqrt(2)), abs=0.3)


def test_noise_is_what_is_steady_behind_the_sound():
    y = np.concatenate([0 * tone(sr=SR), tone(sr=SR, amplitude=0.1), 0 * tone(sr=SR)])
    noisy = alterations.hiss(y, np.random.default_rng(0), -60)
    assert facts.recording_facts(noisy, SR)["noise_db"] == pytest.approx(-60 + 23, abs=0.5)
    assert facts.recording_facts(NOISE, SR)["noise_db"] > -1


def swelling(sr, low, high, seconds=2):
    """A tone whose level rises steadily from `low` to `high` dBFS."""
    y = tone(sr=sr, seconds=seconds)
    return np.float32(y / np.abs(y).max() * 10 ** (np.linspace(low, high, len(y)) / 20))


def test_noise_is_else_what_is_around_the_sound():
    """Where the softest frames are not steady: the ends, far below the loudest frame; where there are none, unknown."""
    rise = swelling(SR, -80, -60)
    y = np.concatenate([rise, tone(sr=SR, amplitude=0.1), rise[::-1]])
    assert facts.recording_facts(y, SR)["noise_db"] == pytest.approx(-70 - 3 - -23, abs=1)      # the middle of the ends
    assert np.isnan(facts.recording_facts(swelling(SR, -30, -10), SR)["noise_db"])              # nothing but sound


@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
def test_facts_do_not_depend_on_the_rate(rate):
    import soxr
    loud = tone(sr=SR, seconds=0.3, amplitude=0.3)
    y = alterations.hiss(np.concatenate([0 * loud, loud, 0.1 * loud, loud, 0 * loud]), np.random.default_rng(0), -70)
    here, there = facts.recording_facts(y, SR), facts.recording_facts(soxr.resample(y, SR, rate), rate)
    assert there["level_dbfs"] == pytest.approx(here["level_dbfs"], abs=0.3)
    lost = 10 * np.log10(min(1, rate / SR))             # hiss above the band
    assert there["noise_db"] == pytest.approx(here["noise_db"] + lost, abs=1)


@pytest.mark.parametrize("rate", [8000, 16_000, 32_000])
def test_the_band_ends_where_a_narrow_recording_does(rate):
    narrow = alterations.band_limited(NOISE, SR, rate)
    assert facts.recording_facts(narrow, SR)["bandwidth_hz"] == pytest.approx(rate / 2, rel=0.1)
    assert facts.recording_facts(NOISE, SR)["bandwidth_hz"] > 0.98 * SR / 2


def test_a_tenth_of_a_second_has_facts_as_well():
    found = facts.recording_facts(tone(sr=8000, seconds=0.1), 8000)
    assert np.isfinite(found["level_dbfs"]) and np.isfinite(found["bandwidth_hz"])


def test_what_no_clip_has_has_no_range():
    table = pd.DataFrame(dict(level_dbfs=[-30.0, -20], noise_db=[np.nan, np.nan], bandwidth_hz=[1e4, 2e4]))
    known = facts.facts_range(table)
    assert set(known) == {"level_dbfs", "bandwidth_hz"}
    assert facts.outside_range(dict(level_dbfs=-25, noise_db=-1.0, bandwidth_hz=2e4), known) == []


def test_a_range_leaves_out_the_most_extreme():
    n = 1000
    table = pd.DataFrame(dict(level_dbfs=np.linspace(-50, -20, n), noise_db=np.linspace(-80, -40, n),
                              bandwidth_hz=[100.0, *np.full(n - 1, 2e4)]))
    known = facts.facts_range(table)
    assert known["bandwidth_hz"] == [2e4, 2e4] and known["level_dbfs"] == pytest.approx([-49.85, -20.15])


@pytest.mark.parametrize("changes, words", [
    ({}, []), (dict(level_dbfs=-60), ["soft: -60 dBFS"]), (dict(level_dbfs=-5), ["loud: -5 dBFS"]),
    (dict(noise_db=-20), ["noisy: background 20 dB below the speech, in the training clips 45 or more"]),
    (dict(noise_db=-120), []), (dict(noise_db=np.nan), []),
    (dict(bandwidth_hz=3900), ["narrow band: nothing above 3.9 kHz"]),
    (dict(bandwidth_hz=24_000), []), (dict(level_dbfs=-51), []),                # within the tolerance
])
def test_what_lies_outside_gets_a_note(changes, words):
    known = dict(level_dbfs=[-49, -20], noise_db=[-110, -45], bandwidth_hz=[16_000, 24_000])
    notes = facts.outside_range(dict(level_dbfs=-30, noise_db=-60, bandwidth_hz=20_000) | changes, known)
    assert len(notes) == len(words) and all(note.startswith(word) for note, word in zip(notes, words))


def test_every_clip_of_ravdess_is_nearly_within_its_own_range(ravdess):
    from ser.audio import read_audio
    clips = [read_audio(path) for path in sorted(ravdess.rglob("*.wav"))[::30]]
    table = pd.DataFrame([facts.recording_facts(*clip) for clip in clips])
    known = facts.facts_range(table)
    assert not any(facts.outside_range(row, known) for row in table.to_dict("records"))
    for (y, rate), kind in zip(clips * 3, ("16k", "hiss", "gain") * len(clips)):
        altered = dict(zip(("16k", "hiss", "gain"), (
            alterations.band_limited(y, rate, 16_000), alterations.hiss(y, RNG, -50), alterations.gain(y, -40))))[kind]
        assert facts.outside_range(facts.recording_facts(altered, rate), known), kind
