"""Features, functionals and scaler: answers known on paper, and those of librosa, SciPy and a few lines of NumPy."""
import librosa
import numpy as np
import pytest
from scipy import stats

import features

SR, N_FFT, HOP = 22_050, 2048, 512
PARAMS = {"sr": SR, "n_fft": N_FFT, "hop_length": HOP, "n_mels": 128, "n_mfcc": 40, "n_gauss": 64,
           "n_gauss_coefficients": 40, "fmin": 0.0, "fmax": SR / 2, "top_db": 80.0,
           "mean_subtraction": 0.0}
FLOAT32 = 1e-5          # relative; a float32 has 6e-8, and a transform of 2048 samples adds up 100 of them
DECIBEL = 1e-3          # dB; what FLOAT32 is in power, times ten
CEPSTRUM = 1e-2         # dB; DECIBEL times sqrt(128), the largest sum of an orthonormal DCT


def tone(hz, amplitude=0.5, samples=SR):
    return (amplitude * np.cos(2 * np.pi * hz * np.arange(samples) / SR)).astype(np.float32)


def noise(amplitude=0.1, samples=SR, seed=0):
    return (amplitude * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def extract(y, **changes):
    """All three features of a waveform."""
    return features.extract(y, ("mfcc", "mel", "gauss"), **PARAMS | changes)


def power_of(y):
    return features.power_spectrogram(y, n_fft=N_FFT, hop_length=HOP)


def inner(x):
    """Frames whose window lies inside the signal, so that the zeros around it do not count."""
    return x[N_FFT // 2 // HOP:-N_FFT // 2 // HOP]


def slow_power(y):
    """The power spectrogram in six lines of NumPy."""
    padded = np.pad(y.astype(float), N_FFT // 2)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    frames = [padded[start:start + N_FFT] * window for start in range(0, len(y) + 1, HOP)]
    return np.abs(np.fft.rfft(frames, axis=1)) ** 2


def slow_dct(row, n):
    """The orthonormal DCT-II of one row, from its definition."""
    size = len(row)
    scale = [np.sqrt((1 if k == 0 else 2) / size) for k in range(n)]
    return [scale[k] * sum(row[m] * np.cos(np.pi * k * (m + 0.5) / size) for m in range(size)) for k in range(n)]


# -- the table of features -------------------------------------------------------------------------
def test_each_feature_has_labels_for_figures():
    assert {name: row.cepstral for name, row in features.FEATURES.items()} == {
        "mfcc": True, "mel": False, "gauss": True, "all": False, "whisper": False, "whisper_frames": False}
    assert all(row.label and row.axis for row in features.FEATURES.values())


@pytest.mark.parametrize("names", [("mel",), ("gauss", "mfcc"), ()])
def test_only_the_features_asked_for_are_extracted(names):
    some = features.extract(noise(), names, **PARAMS)
    assert tuple(some) == names
    for name, x in some.items():
        np.testing.assert_array_equal(x, extract(noise())[name])


def test_all_features_of_a_clip_share_one_transform(monkeypatch):
    calls, stft = [], librosa.stft
    monkeypatch.setattr(librosa, "stft", lambda *args, **kwargs: calls.append(1) or stft(*args, **kwargs))
    extract(noise())
    assert len(calls) == 1


def test_all_is_the_three_side_by_side():
    y = np.random.default_rng(0).standard_normal(8000)
    extracted = features.extract(y, ("mfcc", "mel", "gauss", "all"), **PARAMS)
    three = np.concatenate([extracted[name] for name in ("mfcc", "mel", "gauss")], axis=1)
    assert np.array_equal(extracted["all"], three) and three.shape[1] == 40 + 128 + 40
    assert features.FEATURES["all"].inputs == ("functionals",)


def test_a_new_feature_is_a_function_and_a_row(monkeypatch):
    def loudness(clip):
        return features.power_to_db(clip.power.sum(axis=1, keepdims=True), clip.params["top_db"])

    monkeypatch.setitem(features.FEATURES, "loudness", features.Feature(loudness, "Loudness", "level", False))
    x = features.extract(noise(), ("loudness",), **PARAMS)["loudness"]
    np.testing.assert_allclose(x[:, 0], 10 * np.log10(power_of(noise()).sum(axis=1)), atol=DECIBEL)
    assert (features.cepstral_weights("loudness", 1, 15) == 1).all()


# -- power spectrogram -----------------------------------------------------------------------------
@pytest.mark.parametrize("k", [3, 100, 1000])
def test_a_tone_at_bin_k_peaks_at_k_with_the_power_on_paper(k):
    power = inner(power_of(tone(k * SR / N_FFT)))
    assert (power.argmax(axis=1) == k).all()
    on_paper = (0.5 * N_FFT / 4) ** 2                   # half the amplitude, times the sum of a Hann window
    np.testing.assert_allclose(power[:, k], on_paper, rtol=1e-3)            # the tone is rounded to float32
    np.testing.assert_allclose(power[:, [k - 1, k + 1]], on_paper / 4, rtol=1e-3)       # Hann: half per side
    np.testing.assert_allclose(np.delete(power, [k - 1, k, k + 1], axis=1), 0, atol=1e-6 * on_paper)


def test_parseval():
    y, window = noise(), np.hanning(N_FFT + 1)[:-1]
    power = power_of(y)
    both_sides = 2 * power.sum(axis=1) - power[:, 0] - power[:, -1]
    t = 10
    energy = np.sum((y[t * HOP - N_FFT // 2:t * HOP + N_FFT // 2] * window) ** 2)
    assert both_sides[t] / N_FFT == pytest.approx(energy, rel=FLOAT32)


def test_power_equals_six_lines_of_numpy():
    y = noise()
    np.testing.assert_allclose(power_of(y), slow_power(y), rtol=0, atol=FLOAT32 * slow_power(y).max())


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")       # librosa's remark on clips under 93 ms
@pytest.mark.parametrize("samples", [1, 511, 512, 513, 2047, 2048, 22_050])
def test_frame_count(samples):
    extracted = extract(noise(samples=samples))
    assert {name: x.shape for name, x in extracted.items()} == {
        name: (1 + samples // 512, n) for name, n in (("mfcc", 40), ("mel", 128), ("gauss", 40))}
    assert {x.dtype for x in extracted.values()} == {np.dtype(np.float32)}


def test_frame_t_is_centred_on_sample_t_times_hop():
    y = np.zeros(SR, np.float32)
    y[20 * HOP] = 1
    np.testing.assert_allclose(power_of(y)[20], 1, rtol=FLOAT32)            # the window is 1 at its centre
    assert power_of(y).sum(axis=1).argmax() == 20


# -- mel and MFCC ----------------------------------------------------------------------------------
@pytest.mark.parametrize("top_db", [80.0, None])
@pytest.mark.parametrize("hz", [150.0, 1000.0, 5000.0])
def test_a_tone_peaks_in_the_band_of_its_mel_frequency(hz, top_db):
    mel = inner(extract(tone(hz), top_db=top_db)["mel"])
    centres = librosa.mel_frequencies(128 + 2, fmin=0, fmax=SR / 2)[1:-1]
    assert (np.abs(mel.argmax(axis=1) - np.abs(centres - hz).argmin()) <= 1).all()  # neighbours share a tone


def test_silence_is_at_the_floor_everywhere():
    extracted = extract(np.zeros(SR, np.float32))
    np.testing.assert_allclose(extracted["mel"], -100, rtol=FLOAT32)        # 10 log10 of AMIN
    for name, bands in (("mfcc", 128), ("gauss", 64)):
        np.testing.assert_allclose(extracted[name][:, 0], -100 * np.sqrt(bands), rtol=FLOAT32)
        np.testing.assert_allclose(extracted[name][:, 1:], 0, atol=CEPSTRUM)


@pytest.mark.parametrize("top_db", [80.0, None])
def test_doubled_gain_moves_mel_by_6_db_and_cepstra_in_coefficient_0_alone(top_db):
    one, two = (extract(gain * noise(), top_db=top_db) for gain in (1, 2))
    assert one["mel"].min() > one["mel"].max() - 79                         # or the floor would take part
    step = 20 * np.log10(2)
    np.testing.assert_allclose(two["mel"] - one["mel"], step, atol=DECIBEL)
    for name, bands in (("mfcc", 128), ("gauss", 64)):
        moved = two[name] - one[name]
        np.testing.assert_allclose(moved[:, 0], step * np.sqrt(bands), atol=CEPSTRUM)
        np.testing.assert_allclose(moved[:, 1:], 0, atol=CEPSTRUM)


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.18])
@pytest.mark.parametrize("hz", [500.0, 3000.0, 7000.0])
def test_a_warp_moves_a_tone_by_its_factor(hz, factor):
    power = features.warp_frequencies(power_of(tone(hz)), factor)
    assert inner(power).sum(axis=0).argmax() == pytest.approx(hz * factor / (SR / N_FFT), abs=1)


def test_a_warp_keeps_the_edges_of_the_band_and_the_order_of_frequencies():
    bins = np.arange(1 + N_FFT // 2, dtype=np.float32)[None]                    # the "power" of a bin is its number
    for factor in (0.85, 1.18):
        warped = features.warp_frequencies(bins, factor)[0]
        assert warped[0] == 0 and warped[-1] == bins[0, -1] and (np.diff(warped) > 0).all()
        knee = int(features.WARP_KNEE * min(1, factor) * len(warped)) - 2
        np.testing.assert_allclose(warped[:knee], bins[0, :knee] / factor, rtol=1e-5)


def test_mean_subtraction_takes_its_share_of_the_mean_of_each_column():
    whole, half, none = (extract(noise(), mean_subtraction=share) for share in (1.0, 0.5, 0.0))
    for name, x in none.items():
        np.testing.assert_allclose(whole[name].mean(axis=0), 0, atol=CEPSTRUM)
        np.testing.assert_allclose(half[name], x - x.mean(axis=0) / 2, atol=CEPSTRUM)
        np.testing.assert_allclose(half[name].std(axis=0), x.std(axis=0), rtol=FLOAT32)


def test_top_db_raises_what_is_quieter():
    y = np.concatenate([noise(0.1), noise(1e-4)])                           # 60 dB apart
    free, held = (extract(y, top_db=top_db)["mel"] for top_db in (None, 40.0))
    assert free.min() < free.max() - 50
    np.testing.assert_allclose(held, np.maximum(free, free.max() - 40), atol=DECIBEL)


@pytest.mark.parametrize("y", [noise(), tone(440.0), noise(samples=3000) * np.linspace(0, 1, 3000, dtype=np.float32)])
def test_mel_and_mfcc_are_librosas(y):
    extracted = extract(y)
    bank = {"sr": SR, "n_fft": N_FFT, "hop_length": HOP, "window": "hann", "center": True, "pad_mode": "constant",
            "power": 2.0, "n_mels": 128, "fmin": 0.0, "fmax": SR / 2, "htk": False}
    mel = librosa.power_to_db(librosa.feature.melspectrogram(y=y, norm="slaney", **bank),
                              ref=1.0, amin=1e-10, top_db=80.0)
    mfcc = librosa.feature.mfcc(y=y, n_mfcc=40, dct_type=2, norm="ortho", mel_norm="slaney", lifter=0, **bank)
    np.testing.assert_allclose(extracted["mel"], mel.T, atol=DECIBEL)
    np.testing.assert_allclose(extracted["mfcc"], mfcc.T, atol=CEPSTRUM)


@pytest.mark.parametrize("feature", ["mfcc", "gauss"])
def test_weights_of_a_cepstrum_fall_to_1_e_over_the_decay(feature):
    weights = features.cepstral_weights(feature, 40, 15)
    np.testing.assert_allclose(weights[15:] / weights[:25], 1 / np.e)
    assert np.mean(weights**2) == pytest.approx(1)


@pytest.mark.parametrize("feature, decay", [("mel", 15), ("mfcc", None), ("gauss", None)])
def test_mel_bands_and_columns_without_a_decay_weigh_the_same(feature, decay):
    assert (features.cepstral_weights(feature, 40, decay) == 1).all()


def test_all_three_equal_a_slow_route_in_numpy():
    y = noise(samples=4000)
    extracted = extract(y)
    hz = np.fft.rfftfreq(N_FFT, 1 / SR)

    edges = librosa.mel_frequencies(128 + 2, fmin=0, fmax=SR / 2)
    triangles = [np.interp(hz, edges[m:m + 3], [0, 2 / (edges[m + 2] - edges[m]), 0]) for m in range(128)]
    mel = 10 * np.log10(slow_power(y) @ np.array(triangles).T)
    np.testing.assert_allclose(extracted["mel"], mel, atol=DECIBEL)
    np.testing.assert_allclose(extracted["mfcc"], [slow_dct(row, 40) for row in mel], atol=CEPSTRUM)

    edges = librosa.mel_frequencies(64 + 2, fmin=0, fmax=SR / 2)
    bells = [np.exp(-2 * ((hz - edges[m]) / (edges[m + 1] - edges[m])) ** 2) for m in range(1, 65)]
    gauss = 10 * np.log10(slow_power(y) @ np.array(bells).T)
    np.testing.assert_allclose(extracted["gauss"], [slow_dct(row, 40) for row in gauss], atol=CEPSTRUM)


def test_the_dct_runs_over_bands_not_over_time():
    steps = np.repeat(np.linspace(-60, 0, 7)[:, None], 16, axis=1)          # flat over bands, rising in time
    cepstra = features.cepstrum(steps, 8)
    np.testing.assert_allclose(cepstra[:, 0], 4 * steps[:, 0], rtol=1e-12)
    np.testing.assert_allclose(cepstra[:, 1:], 0, atol=1e-12)               # float64 here: rounding only


def test_the_full_dct_keeps_distances():
    a, b = np.random.default_rng(0).normal(size=(2, 5, 32))
    distance = np.linalg.norm(features.cepstrum(a, 32) - features.cepstrum(b, 32), axis=1)
    np.testing.assert_allclose(distance, np.linalg.norm(a - b, axis=1), rtol=1e-12)


# -- Gaussian filters ------------------------------------------------------------------------------
def test_gaussian_gain_is_1_at_the_centre_and_exp_minus_2_at_the_next():
    # Below 1 kHz the mel scale is linear: 8 filters up to 900 Hz lie 100 Hz apart, every tenth bin of 10 Hz.
    filters = features.gaussian_filters(16_000, 1600, 8, 0.0, 900.0)
    gain = filters[:, 10:90:10]                                             # (filters, centres)
    distance = np.subtract.outer(np.arange(8), np.arange(8))
    np.testing.assert_allclose(gain, np.exp(-2.0 * distance**2), rtol=FLOAT32, atol=1e-30)


def test_gaussian_centres_are_mel_spaced_and_widths_follow():
    n_fft = 2**16                                                           # a fine ruler: bins of 0.34 Hz
    filters = features.gaussian_filters(SR, n_fft, 20, 50.0, 8000.0)
    hz = np.fft.rfftfreq(n_fft, 1 / SR)
    centres = hz[filters.argmax(axis=1)]
    mels = librosa.hz_to_mel(np.concatenate([[50.0], centres, [8000.0]]))
    a_bin = hz[1] * np.gradient(mels).max() / np.diff(centres).min()        # in mel, at the narrowest place
    np.testing.assert_allclose(np.diff(mels), np.diff(mels).mean(), atol=a_bin)
    at_next = [np.interp(centres[m + 1], hz, filters[m]) for m in range(19)]
    np.testing.assert_allclose(at_next, np.exp(-2), rtol=0.02)              # a bin's error in the centre


@pytest.mark.parametrize("n_fft, n_filters", [(2048, 64), (512, 64), (512, 128), (256, 80)])
def test_no_gaussian_filter_falls_between_the_bins(n_fft, n_filters):
    filters = features.gaussian_filters(SR, n_fft, n_filters, 0.0, SR / 2)
    assert filters.shape == (n_filters, 1 + n_fft // 2)
    assert filters.max() <= 1
    assert (filters.max(axis=1) >= np.exp(-0.5) - FLOAT32).all()            # at worst half a bin from the centre


# -- functionals -----------------------------------------------------------------------------------
def slow_functionals(x):
    """One clip (frames, n), statistic by statistic."""
    p10, p25, p75, p90 = np.percentile(x, (10, 25, 75, 90), axis=0)
    return {"mean": np.mean(x, axis=0), "std": np.std(x, axis=0), "max": np.max(x, axis=0), "min": np.min(x, axis=0),
            "median": np.median(x, axis=0), "skewness": stats.skew(x, axis=0), "kurtosis": stats.kurtosis(x, axis=0),
            "p10": p10, "p25": p25, "p75": p75, "p90": p90, "range": np.ptp(x, axis=0), "iqr": stats.iqr(x, axis=0)}


@pytest.mark.parametrize("garbage", [0.0, 1e6, -1e6, np.inf, np.nan])
def test_functionals_are_scipys_and_ignore_padding(garbage):
    lengths = [37, 2, 5, 60, 11]
    clips = [np.random.default_rng(k).gamma(2, size=(length, 4)) for k, length in enumerate(lengths)]
    padded = np.full((5, 60, 4), garbage)
    for row, clip in zip(padded, clips, strict=True):
        row[:len(clip)] = clip
    result = features.functionals(padded, np.array(lengths)).reshape(5, 13, 4)
    for row, clip in zip(result, clips, strict=True):
        for name, value in slow_functionals(clip).items():
            np.testing.assert_allclose(row[features.FUNCTIONALS.index(name)], value, rtol=FLOAT32,
                                       atol=FLOAT32, err_msg=name)


def test_functionals_are_thirteen_and_named_in_order():
    assert features.FUNCTIONALS == tuple(slow_functionals(np.random.default_rng(0).normal(size=(9, 1))))
    result = features.functionals(np.arange(11.0).reshape(1, 11, 1), np.array([11]))
    on_paper = {"mean": 5, "std": np.sqrt(10), "max": 10, "min": 0, "median": 5, "skewness": 0, "kurtosis": -1.22,
                "p10": 1, "p25": 2.5, "p75": 7.5, "p90": 9, "range": 10, "iqr": 5}
    assert dict(zip(features.FUNCTIONALS, result[0], strict=True)) == pytest.approx(on_paper, abs=FLOAT32)


@pytest.mark.parametrize("constant", [0.0, -100.0, 0.1, 1e4 / 3])       # the mean of 50 thirds is rounded
def test_a_constant_column_has_no_spread(constant):
    x = np.full((1, 50, 2), constant)
    x[0, :, 1] = np.arange(50)
    row = dict(zip(features.FUNCTIONALS, features.functionals(x, np.array([50])).reshape(13, 2)[:, 0], strict=True))
    located = ("mean", "max", "min", "median", "p10", "p25", "p75", "p90")
    assert row == pytest.approx({name: constant if name in located else 0 for name in features.FUNCTIONALS},
                                rel=FLOAT32, abs=1e-6 * abs(constant))      # the rounding of a mean


def test_a_clip_of_one_frame():
    x = np.array([[[3.0, -2.0], [np.nan, np.nan]]])
    row = features.functionals(x, np.array([1])).reshape(13, 2)
    located = [name not in ("std", "skewness", "kurtosis", "range", "iqr") for name in features.FUNCTIONALS]
    np.testing.assert_allclose(row, np.where(np.array(located)[:, None], [3.0, -2.0], 0), atol=FLOAT32)


# -- frames of equal number ------------------------------------------------------------------------
@pytest.mark.parametrize("length, start, real", [(3, 0, 3), (5, 0, 5), (6, 0, 5), (9, 2, 5), (50, 22, 5)])
def test_pad_or_crop_pads_the_end_or_keeps_the_middle(length, start, real):
    x = np.arange(1.0, length + 1)[:, None]
    result, frames = features.pad_or_crop(x, 5)
    assert frames == real
    np.testing.assert_array_equal(result[:, 0], [*x[start:start + real, 0], *[0] * (5 - real)])


# -- scaler ----------------------------------------------------------------------------------------
@pytest.fixture
def ragged():
    """Ten clips of 3 to 12 frames and 4 columns, columns far apart in level and spread, padding 0."""
    rng = np.random.default_rng(0)
    lengths = np.arange(3, 13)
    x = (rng.normal(size=(10, 12, 4)) * [0.1, 1, 10, 100] + [-500, 0, 5, 50]).astype(np.float32)
    x[np.arange(12) >= lengths[:, None]] = 0
    return x, lengths


def test_standardised_real_frames_have_zero_mean_and_unit_variance(ragged):
    x, lengths = ragged
    scaled = features.standardise(x, *features.fit_scaler(x, lengths), lengths)
    real = np.concatenate([clip[:length] for clip, length in zip(scaled, lengths, strict=True)])
    np.testing.assert_allclose(real.mean(axis=0), 0, atol=1e-3)         # float32 at 500 steps by 3e-5, spread 0.1
    np.testing.assert_allclose(real.std(axis=0), 1, atol=1e-3)
    assert scaled.dtype == np.float32


def test_the_scaler_of_some_rows_is_that_of_these_rows_read_in_pieces(ragged, monkeypatch):
    x, lengths = ragged
    rows = np.array([7, 2, 9, 4])
    whole = features.fit_scaler(x[rows], lengths[rows])
    monkeypatch.setattr(features, "ROWS_AT_ONCE", 3)
    for one, two in zip(whole, features.fit_scaler(x, lengths, rows), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)


def test_padding_is_exactly_0_and_never_counts(ragged):
    x, lengths = ragged
    padding = np.arange(12) >= lengths[:, None]
    for garbage in (1e6, np.nan):
        filled = x.copy()
        filled[padding] = garbage
        for one, two in zip(features.fit_scaler(x, lengths), features.fit_scaler(filled, lengths), strict=True):
            np.testing.assert_array_equal(one, two)
        before = filled.copy()
        scaled = features.standardise(filled, *features.fit_scaler(x, lengths), lengths)
        assert (scaled[padding] == 0).all() and (scaled[~padding] != 0).all()
        np.testing.assert_array_equal(filled, before)                   # the input is left alone


def test_the_scaler_depends_on_the_training_clips_alone(ragged):
    x, lengths = ragged
    train, test = np.arange(7), np.arange(7, 10)
    before = features.fit_scaler(x[train], lengths[train])
    changed = x.copy()
    changed[test] *= 10
    for one, two in zip(before, features.fit_scaler(changed[train], lengths[train]), strict=True):
        np.testing.assert_array_equal(one, two)
    changed[train[0]] *= 10
    assert not np.array_equal(before[0], features.fit_scaler(changed[train], lengths[train])[0])


def test_functionals_and_constant_columns_are_standardised_too(ragged):
    rows = ragged[0][:, 0].copy()                                       # (clips, n): no frames, no padding
    rows[:, 1] = 7
    scaled = features.standardise(rows, *features.fit_scaler(rows))
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 0, 1, 1], atol=1e-3)


def test_the_standard_deviation_of_a_standardised_column_is_its_weight(ragged):
    """Functionals hold each column several times: its weight is repeated."""
    x, lengths = ragged
    weights = np.array([2, 1, 0.5, 0.1])
    scaled = features.standardise(x, *features.fit_scaler(x, lengths, weights=weights), lengths)
    real = np.concatenate([clip[:length] for clip, length in zip(scaled, lengths, strict=True)])
    np.testing.assert_allclose(real.std(axis=0), weights, rtol=1e-3)
    twice = np.concatenate([x[:, 0], x[:, 0] ** 2], axis=1)                     # (clips, 2 n)
    scaled = features.standardise(twice, *features.fit_scaler(twice, weights=weights))
    np.testing.assert_allclose(scaled.std(axis=0), [*weights, *weights], rtol=1e-3)
