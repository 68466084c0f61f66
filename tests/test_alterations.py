"""What rooms, microphones and channels do to a recording, by what can be measured of it."""
import numpy as np
import pytest
from sounds import tone

from ser import alterations, seeds

SR = 22_050
NOISE = np.random.default_rng(1).normal(0, 0.1, 2 * SR).astype(np.float32)


def drawn(seed):
    """The generators of a clip, by the name of an alteration."""
    return lambda name: seeds.generator(seed, name)


def level_db(y):
    return 20 * np.log10(np.sqrt(np.mean(np.square(y, dtype=float))))


def share_above(y, hz):
    """Of the power, above a frequency."""
    power = np.abs(np.fft.rfft(y)) ** 2
    return power[np.fft.rfftfreq(len(y), 1 / SR) > hz].sum() / power.sum()


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_a_narrow_band_holds_nothing_above_half_its_rate(rate):
    narrow = alterations.band_limited(NOISE, SR, rate)
    assert narrow.shape == NOISE.shape and narrow.dtype == np.float32
    assert share_above(narrow, rate / 2) < 1e-4 < 0.2 < share_above(NOISE, rate / 2)
    low = tone(500.0, sr=SR, seconds=2)
    assert np.abs(alterations.band_limited(low, SR, rate) - low)[1000:-1000].max() < 1e-3


def test_gain_and_offset_stop_at_full_scale():
    y = np.array([0, 0.1, -0.5], np.float32)
    np.testing.assert_allclose(alterations.gain(y, -20), y / 10, rtol=1e-6)
    np.testing.assert_allclose(alterations.gain(y, 20), [0, 1, -1], rtol=1e-6)
    np.testing.assert_allclose(alterations.offset(y, 0.05), [0.05, 0.15, -0.45], rtol=1e-6)


def test_hiss_is_white_and_of_the_level_asked_for():
    hiss = alterations.hiss(np.zeros(10 * SR, np.float32), np.random.default_rng(0), -55)
    assert level_db(hiss) == pytest.approx(-55, abs=0.1)
    assert share_above(hiss, SR / 4) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("snr_db", [5, 20])
def test_speech_shaped_noise_has_the_spectrum_of_the_clip(snr_db):
    y = tone(700.0, sr=SR, seconds=2) + 0.1 * tone(3000.0, sr=SR, seconds=2)
    noise = alterations.speech_shaped_noise(y, np.random.default_rng(0), snr_db) - y
    assert level_db(y) - level_db(noise) == pytest.approx(snr_db, abs=0.1)
    assert share_above(noise, 2000) == pytest.approx(share_above(y, 2000), rel=0.05)
    assert abs(np.corrcoef(noise, y)[0, 1]) < 0.9


@pytest.mark.parametrize("seconds", [0.3, 0.8])
def test_a_room_takes_its_time_to_fall_by_60_db(seconds):
    click = np.zeros(2 * SR, np.float32)
    click[0] = 1
    rooms = [alterations.reverberated(click, np.random.default_rng(seed), SR, seconds) for seed in range(20)]
    power = np.mean([room[SR // 100:] ** 2 for room in rooms], axis=0)          # after the direct sound
    left = 10 * np.log10(np.cumsum(power[::-1])[::-1])                          # Schroeder's backward integration
    start, end = (np.flatnonzero(left < left[0] - fall)[0] for fall in (5, 25))
    assert 3 * (end - start) / SR == pytest.approx(seconds, rel=0.1)            # 20 dB, times three
    assert level_db(rooms[0]) == pytest.approx(level_db(click), abs=0.01)


def test_codecs_keep_most_of_it_and_no_more():
    y = tone(1000.0, sr=SR, amplitude=0.5, seconds=2)
    for codec, error_db in ((alterations.mu_law, -34), (alterations.eight_bits, -40)):
        assert level_db(codec(y) - y) - level_db(y) == pytest.approx(error_db, abs=5)
    assert np.unique(alterations.eight_bits(y)).size <= 129
    quiet = y / 1000
    assert np.abs(alterations.mu_law(quiet)).max() > 0 == np.abs(alterations.eight_bits(quiet)).max()
    line = alterations.telephone(NOISE, SR)
    assert line.shape == NOISE.shape and share_above(line, 4000) < 1e-3 and share_above(line, 300) > 0.95


def test_what_is_drawn_depends_on_the_generator_alone():
    names = tuple(alterations.ALTERATIONS)
    once, again, other = (alterations.alter(NOISE, SR, names, drawn(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


def test_what_is_drawn_of_one_does_not_depend_on_the_others():
    seed = next(seed for seed in range(100) if drawn(seed)("band").random() < alterations.PROBABILITY
                and drawn(seed)("gain").random() > alterations.PROBABILITY)
    alone, both = (alterations.alter(NOISE, SR, names, drawn(seed)) for names in (("band",), ("gain", "band")))
    np.testing.assert_array_equal(alone, both)
    assert not np.array_equal(alone, NOISE)


def test_a_soft_clip_is_never_rounded_to_silence():
    soft = NOISE / 1000
    for seed in range(20):
        assert np.abs(alterations.random_codec(soft, np.random.default_rng(seed), SR)).max() > 1e-5


def test_only_what_is_named_is_done_and_not_always():
    np.testing.assert_array_equal(alterations.alter(NOISE, SR, (), drawn(0)), NOISE)
    gains = [alterations.alter(NOISE, SR, ("gain",), drawn(seed)) for seed in range(200)]
    same = np.mean([np.array_equal(y, NOISE) for y in gains])
    assert same == pytest.approx(1 - alterations.PROBABILITY, abs=0.12)
    for y in gains:                                                             # a gain and nothing else
        ratio = y[np.abs(NOISE) > 1e-3] / NOISE[np.abs(NOISE) > 1e-3]
        assert np.median(ratio) == pytest.approx(ratio[np.abs(y[np.abs(NOISE) > 1e-3]) < 1].mean(), rel=1e-3)


@pytest.mark.parametrize("name", alterations.ALTERATIONS)
@pytest.mark.parametrize("sr", [8000, 22_050, 48_000])
def test_every_alteration_keeps_length_and_is_finite(name, sr):
    for y in (NOISE[:sr], np.zeros(sr, np.float32)):
        altered = alterations.ALTERATIONS[name](y, np.random.default_rng(0), sr)
        assert altered.shape == y.shape and altered.dtype == np.float32 and np.isfinite(altered).all()
