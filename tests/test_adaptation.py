"""Features centred by a speaker's own clips."""
import numpy as np
import pytest

import data_preprocessing as dp
from ser import adaptation, corpora


def test_a_mean_is_over_real_frames():
    x = np.array([[[1, 10], [3, 30], [99, 99]], [[5, 50], [99, 99], [99, 99]]], np.float32)
    np.testing.assert_allclose(adaptation.mean_of(x, [2, 1]), [3, 30])
    np.testing.assert_allclose(adaptation.mean_of(x[:, 0]), [3, 30])


def test_padding_stays_zero():
    x = np.ones((1, 3, 2), np.float32)
    np.testing.assert_array_equal(adaptation.centre(x, np.array([0.25, 1.0]), [2]),
                                  [[[0.75, 0], [0.75, 0], [0, 0]]])


def test_copies_are_centred_by_the_clips_themselves():
    rng = np.random.default_rng(0)
    x = rng.normal(5, 1, (4, 3, 6)).astype(np.float32)
    x[:, 1:] += 100
    centred = adaptation.centre_speaker(x)
    np.testing.assert_allclose(centred, x - x[:, 0].mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(centred[:, 0].mean(axis=0), 0, atol=1e-6)


@pytest.fixture
def two_speakers(demo_folder, settings):
    """The clips of the demo corpus as if of two speakers, and their Extraction."""
    few = settings(N_AUGMENTED=1)
    clips = dp.survey(corpora.find_corpus(demo_folder, few.CLASSES).clips[:6], few.CACHE_DIR, 1)
    return clips.assign(actor=[1, 2, 1, 2, 1, 1]), dp.extraction_params(few, ("mfcc", "all")), few.CACHE_DIR


def test_the_arrays_of_a_corpus_are_centred_speaker_by_speaker(two_speakers):
    clips, extraction, cache = two_speakers
    plain = dp.build_features(clips, extraction, cache, 1)
    adapted = dp.build_features(clips, dp.replace(extraction, adapt="speaker"), cache, 1)
    assert adapted.key != plain.key
    for actor in (1, 2):
        rows = np.flatnonzero(clips.actor == actor)
        for name, x in plain.functionals.items():
            mean = np.mean(x[rows, 0], axis=0, dtype=float)
            np.testing.assert_allclose(adapted.functionals[name][rows], x[rows] - mean, atol=1e-3)
        lengths, x = plain.lengths["mfcc"], plain.sequences["mfcc"]
        mean = np.mean([frame for row in rows for frame in x[row, 0, :lengths[row, 0]]], axis=0, dtype=float)
        for row in rows:
            for copy in (0, 1):
                real = lengths[row, copy]
                np.testing.assert_allclose(adapted.sequences["mfcc"][row, copy, :real], x[row, copy, :real] - mean,
                                           atol=1e-3)
                assert not adapted.sequences["mfcc"][row, copy, real:].any()
    np.testing.assert_array_equal(adapted.lengths["mfcc"], plain.lengths["mfcc"])


def test_who_the_others_are_changes_the_entry(two_speakers):
    """A speaker's mean is of all clips, so the speakers are part of what the arrays are."""
    clips, extraction, _ = two_speakers
    adapted = dp.replace(extraction, adapt="speaker")
    others = clips.assign(actor=[1, 1, 1, 2, 2, 2])
    assert dp.features_key(clips, adapted) != dp.features_key(others, adapted)
    assert dp.features_key(clips, extraction) == dp.features_key(others, extraction)
