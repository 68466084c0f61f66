"""Features centred by a speaker's own clips."""
import numpy as np
import pytest

import data_preprocessing as dp
from ser import adaptation, corpora


def test_padding_stays_zero():
    x = np.ones((1, 3, 2), np.float32)
    np.testing.assert_array_equal(adaptation.centre(x, np.array([0.25, 1.0]), [2]),
                                  [[[0.75, 0], [0.75, 0], [0, 0]]])


def test_the_offset_of_a_new_speaker_is_between_the_own_mean_and_the_typical_one():
    own, typical = np.array([4.0, 0.0]), np.array([0.0, 8.0])
    np.testing.assert_allclose(adaptation.speaker_offset(own, 0, typical), typical)
    np.testing.assert_allclose(adaptation.speaker_offset(own, adaptation.PRIOR_CLIPS, typical), [2, 4])
    np.testing.assert_allclose(adaptation.speaker_offset(own, 10**9, typical), own, atol=1e-6)


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
    assert not set(adapted.folders.values()) & set(plain.folders.values())
    for actor in (1, 2):
        rows = np.flatnonzero(clips.actor == actor)
        for name, x in plain.functionals.items():
            mean = np.mean(x[rows, 0], axis=0, dtype=float)
            np.testing.assert_allclose(adapted.functionals[name][rows], x[rows] - mean, atol=1e-3)
            np.testing.assert_allclose(adapted.speaker_means[name, "functionals"][actor - 1], mean, atol=1e-3)
        lengths, x = plain.lengths["mfcc"], plain.sequences["mfcc"]
        mean = np.mean([frame for row in rows for frame in x[row, 0, :lengths[row, 0]]], axis=0, dtype=float)
        np.testing.assert_allclose(adapted.speaker_means["mfcc", "frames"][actor - 1], mean, atol=1e-3)
        for row in rows:
            for copy in (0, 1):
                real = lengths[row, copy]
                np.testing.assert_allclose(adapted.sequences["mfcc"][row, copy, :real], x[row, copy, :real] - mean,
                                           atol=1e-3)
                assert not adapted.sequences["mfcc"][row, copy, real:].any()
    np.testing.assert_array_equal(adapted.lengths["mfcc"], plain.lengths["mfcc"])
    assert plain.speaker_means == {}


def test_who_the_others_are_changes_the_entry(two_speakers):
    """A speaker's mean is of all clips, so the speakers are part of what the arrays are."""
    clips, extraction, _ = two_speakers
    adapted = dp.replace(extraction, adapt="speaker")
    others = clips.assign(actor=[1, 1, 1, 2, 2, 2])
    assert dp.features_key(clips, adapted) != dp.features_key(others, adapted)
    assert dp.features_key(clips, extraction) == dp.features_key(others, extraction)
