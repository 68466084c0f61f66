"""DTW distances, against librosa's and on clips whose distance is known on paper."""
import librosa
import numpy as np
import pytest

from ser import dtw

ROUNDING = 1e-4             # of a distance of about 1: sums of hundreds of float32 terms, in another order


def clips(*lengths, columns=6, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, columns)) for length in lengths]


def test_the_distance_is_librosas():
    """librosa charges the first cell once, not as a step in both, and does not divide by the number of steps."""
    some, others = clips(30, 1, 17), clips(25, 40, seed=1)
    found = dtw.distances(some, others)
    for i, a in enumerate(some):
        for j, b in enumerate(others):
            cost = librosa.sequence.dtw(a.T, b.T, step_sizes_sigma=np.array([[1, 1], [1, 0], [0, 1]]),
                                        weights_mul=np.array([dtw.DIAGONAL_STEP_COST, 1.0, 1.0]), backtrack=False)
            expected = (cost[-1, -1] + (dtw.DIAGONAL_STEP_COST - 1) * np.linalg.norm(a[0] - b[0])) / (len(a) + len(b))
            assert found[i, j] == pytest.approx(expected, rel=ROUNDING)


def test_distances_among_clips_equal_those_to_others():
    some = clips(30, 22, 17, 5)
    found = dtw.distances(some)
    assert np.array_equal(found, found.T) and (np.diag(found) == 0).all()
    assert np.allclose(found, dtw.distances(some, some), rtol=ROUNDING, atol=ROUNDING)


def test_a_change_of_tempo_is_no_distance_and_a_constant_offset_is_one():
    a, = clips(20)
    slower = np.repeat(a, 3, axis=0)
    assert dtw.distances([a], [slower])[0, 0] == 0
    still, elsewhere = np.zeros((9, 6)), np.full((14, 6), 2.0)
    expected = 2 * np.sqrt(6) * (9 * dtw.DIAGONAL_STEP_COST + 5) / (9 + 14)     # 9 steps in both clips, 5 in one
    assert dtw.distances([still], [elsewhere])[0, 0] == pytest.approx(expected)


def test_descriptors_are_columns_and_their_deltas():
    """A ramp of 1 per frame in each column: means of two neighbours, and in the middle the weighted delta, 1."""
    ramp = np.tile(np.arange(40.0)[:, None], (1, 8))
    x = dtw.frame_descriptors(ramp, **dtw.DTW_PARAMS)
    assert x.shape == (20, 16)
    assert np.allclose(x[:, :8], ramp.reshape(20, 2, 8).mean(axis=1))
    assert np.allclose(x[5:-5, 8:], dtw.DTW_PARAMS["delta_weight"])


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_a_clip_of_one_frame_has_descriptors(frames):
    x = dtw.frame_descriptors(np.ones((frames, 4)), **dtw.DTW_PARAMS)
    assert x.shape == (-(-frames // 2), 8) and np.allclose(x[:, 4:], 0, atol=1e-12)
    assert np.isfinite(dtw.distances([x, x[:1]])).all()


def test_no_clips_have_no_distances():
    some = clips(3, 4)
    assert dtw.distances([], some).shape == (0, 2) and dtw.distances([]).shape == (0, 0)
