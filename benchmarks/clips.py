"""Clips through both implementations: to features, copies, functionals and distances, and to predictions."""
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import data_preprocessing as data
import features
from ser import corpora, demo_corpus, dtw, seeds
from ser.audio import load_waveform

N_CLIPS = 24
N_PREDICTED = 10                # times these clips are predicted
GEMM_SIZE = 2048                # rows and columns of the matrices whose product gives the peak
CALIBRATION = (1.0, 0.5)        # temperature, threshold: of no account for time


def spread_clips(folder, count, class_order):
    """Table of `count` clips, spread over actors and emotions: of RAVDESS_DIR, else of the synthesised corpus of
    --demo, which is written to `folder`."""
    source = Path(folder) / "source"
    if os.environ.get("RAVDESS_DIR"):
        source = corpora.data_dir()
    else:
        demo_corpus.write_corpus(source)
    clips = corpora.find_corpus(source, class_order).clips
    return clips.iloc[np.linspace(0, len(clips) - 1, count).astype(int)].reset_index(drop=True)


# -- a clip ----------------------------------------------------------------------------------------
def clip_work(paths, settings):
    """What is timed of clip number k: {row of the report: (ours(k), conventional(k))}, None where there is no such."""
    import librosa

    from benchmarks import baseline
    extraction = data.extraction_params(settings, baseline.FEATURES)
    sr, stft = settings.SAMPLE_RATE, dict(n_fft=settings.N_FFT, hop_length=settings.HOP_LENGTH)
    waveforms = [load_waveform(path, **extraction.loading) for path in paths]
    extracted = [features.extract(y, extraction.names, **extraction.params) for y in waveforms]
    padded = [[features.pad_or_crop(x, extraction.n_frames(name)) for name, x in clip.items()] for clip in extracted]
    descriptors = [dtw.frame_descriptors(clip["mfcc"], **dtw.DTW_PARAMS).astype(np.float32) for clip in extracted]

    def augment(k):
        return data.augment(waveforms[k], seeds.generator(1, "augment", k, 1), sr=sr, **extraction.augmentation)

    def functionals(k):
        return [features.functionals(x[None], np.array([length])) for x, length in padded[k]]

    def warp_with_librosa(k):
        return [librosa.sequence.dtw(descriptors[k].T, other.T, backtrack=False)[-1, -1] for other in descriptors]

    return {
        "load, resample, trim": (lambda k: load_waveform(paths[k], **extraction.loading),
                                 lambda k: baseline.load(paths[k])),
        "MFCC + mel + Gaussian cepstra": (lambda k: features.extract(waveforms[k], extraction.names,
                                                                     **extraction.params),
                                          lambda k: {name: f(waveforms[k]) for name, f in baseline.FEATURES.items()}),
        "MFCC alone": (None, lambda k: baseline.mfcc(waveforms[k])),
        "mel alone": (None, lambda k: baseline.mel(waveforms[k])),
        "Gaussian cepstra alone": (None, lambda k: baseline.gauss(waveforms[k])),
        "augmentation, one copy": (augment, lambda k: baseline.augment(waveforms[k], np.random.default_rng(k))),
        "functionals of the three": (functionals, lambda k: [baseline.functionals(x) for x in extracted[k].values()]),
        f"DTW distances to {len(paths)} clips": (lambda k: dtw.distances([descriptors[k]], descriptors),
                                                 warp_with_librosa),
        "floor: one STFT": (lambda k: features.power_spectrogram(waveforms[k], **stft), None),
        "floor: one stretch and shift": (
            lambda k: data.stretch_and_shift(waveforms[k], sr=sr, rate=1.1, semitones=1.0), None),
    }


def time_work(work, n_clips, repeats):
    """Seconds for a clip, round by round, on one thread: {row: (ours [...], conventional [...])}.

    work : as `clip_work` gives it. A first round, which compiles and fills caches, does not count.
    """
    from threadpoolctl import threadpool_limits
    rows = {name: ([], []) for name in work}
    with threadpool_limits(1):
        for number in range(repeats + 1):
            for name, functions in work.items():
                for seconds, function in zip(rows[name], functions):
                    if function is None:
                        continue
                    start = time.perf_counter()
                    for k in range(n_clips):
                        function(k)
                    if number:
                        seconds.append((time.perf_counter() - start) / n_clips)
    return rows


def gemm_peak(threads, size=GEMM_SIZE):
    """float32 operations of a large matrix product with that many threads, in GFLOP/s (best of five)."""
    from threadpoolctl import threadpool_limits
    a = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    best = np.inf
    with threadpool_limits(threads):
        for _ in range(5):
            start = time.perf_counter()
            a @ a
            best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


# -- predictions -----------------------------------------------------------------------------------
def prediction_rate(settings, implementation, paths):
    """Recordings a second, from the file to the probabilities, once started: dict(rate). `implementation` as below."""
    predict = predictor(implementation, untrained_cnn1d(settings), settings)
    paths = [Path(path) for path in paths]
    predict(paths)                                                              # starts workers, traces
    start = time.perf_counter()
    predict(paths * N_PREDICTED)
    return dict(rate=N_PREDICTED * len(paths) / (time.perf_counter() - start))


def untrained_cnn1d(settings):
    """The average of ENSEMBLE_SIZE untrained networks, for MFCCs."""
    import model
    from study import networks
    input_shape = data.extraction_params(settings, ["mfcc"]).n_frames("mfcc"), settings.N_MFCC
    return model.average_ensemble([networks.build(settings.MODELS["cnn1d"].builder, input_shape, len(settings.CLASSES))
                                   for _ in range(settings.ENSEMBLE_SIZE)])


def predictor(implementation, network, settings):
    """A function from paths to probabilities (clips, n_classes), by a network for MFCCs that are not standardised.

    implementation : "ours", as predict.py, in parallel and in batches; "baseline", a loop with `predict` on each file
    """
    extraction, labels = data.extraction_params(settings, ["mfcc"]), list(settings.CLASSES)
    n_frames = extraction.n_frames("mfcc")
    if implementation == "baseline":
        from benchmarks import baseline
        return lambda paths: np.concatenate([
            network.predict(features.pad_or_crop(baseline.mfcc(baseline.load(path)), n_frames)[0][None],
                            verbose=0) for path in paths])

    import pandas as pd

    import predict
    from study import inference, networks
    from study.segments import in_batches
    estimator = networks.NetworkEnsemble(len(labels))
    estimator.network = network
    metadata = dict(labels=labels, feature="mfcc", input="frames", n_frames=n_frames, seconds=settings.CLIP_SECONDS,
                    speaker_mean=None, training_range={}, mean=[0.0] * settings.N_MFCC,
                    std=[1.0] * settings.N_MFCC, temperature=1.0, loading=extraction.loading, params=extraction.params)
    models = [inference.Model("cnn1d", estimator, metadata)]
    args = SimpleNamespace(window=None, hop=1.0, jobs=-1)

    def predict_all(paths):
        segments = predict.iter_segments(paths, inference.input_specs(models), args)
        table = pd.concat([inference.predict_segments(batch, models, labels, inference.Calibration(*CALIBRATION))
                           for batch in in_batches(segments)])
        return table[[f"p_{label}" for label in labels]].to_numpy()

    return predict_all
