"""The pretrained encoder: beside a slow route in NumPy on tiny random weights; the real ones where they are at hand."""
import gc
import hashlib
import os
import re
import sys

import numpy as np
import pytest
from scipy.special import erf, softmax
from sounds import SR, tone

import config
import data_preprocessing as dp
import features
from ser.audio import load_waveform
from ser.errors import UserError
from ser.settings import install_command, read_settings
from study import encoder_weights
from study.encoder_weights import encoder_params, find_weights, fingerprint

safetensors = pytest.importorskip("safetensors.numpy")
N_MELS, WIDTH, INNER, POSITIONS, N_BLOCKS = 10, 128, 32, 1500, 3        # 128: two heads of 64


def random_weights(seed=0):
    """{name of a tensor: float32 array}, in PyTorch's orientation."""
    rng = np.random.default_rng(seed)
    shapes = {"conv1.weight": (WIDTH, N_MELS, 3), "conv1.bias": (WIDTH,), "conv2.weight": (WIDTH, WIDTH, 3),
              "conv2.bias": (WIDTH,), "embed_positions.weight": (POSITIONS, WIDTH), "layer_norm.weight": (WIDTH,),
              "layer_norm.bias": (WIDTH,)}
    for number in range(N_BLOCKS):
        own = {f"self_attn.{part}_proj.bias": (WIDTH,) for part in ("q", "v", "out")}
        own |= {"fc1.weight": (INNER, WIDTH), "fc1.bias": (INNER,), "fc2.weight": (WIDTH, INNER), "fc2.bias": (WIDTH,)}
        own |= {f"self_attn.{part}_proj.weight": (WIDTH, WIDTH) for part in ("q", "k", "v", "out")}
        own |= {f"{norm}.{part}": (WIDTH,) for norm in ("self_attn_layer_norm", "final_layer_norm")
                for part in ("weight", "bias")}
        shapes |= {f"layers.{number}.{name}": shape for name, shape in own.items()}
    return {name: np.float32(rng.normal(0, 0.3 / np.sqrt(max(1, np.prod(shape[1:]) / 20)), shape))
            for name, shape in shapes.items()}


def write_weights(path, weights, dtype=np.float32):
    tensors = {f"model.encoder.{name}": np.asarray(tensor, dtype) for name, tensor in weights.items()}
    safetensors.save_file(tensors | {"model.decoder.other": np.zeros(3, dtype)}, path)
    return path


@pytest.fixture
def tiny(tmp_path):
    """A file with random weights, and the weights."""
    weights = random_weights()
    return write_weights(tmp_path / "model.safetensors", weights), weights


# -- a slow route ----------------------------------------------------------------------------------
def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def normalised(x, weights, name):
    x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def dense(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)


def convolution(x, weights, name, stride):
    padded, kernel = np.pad(x, ((1, 1), (0, 0))), weights[f"{name}.weight"]
    return gelu(np.array([sum(kernel[:, :, k] @ padded[t + k] for k in range(3)) + weights[f"{name}.bias"]
                          for t in range(0, len(x), stride)]))


def by_hand(frames, weights):
    """[output of block 0, 1, ..., the last one normalised] of one clip (frames, n_mels)."""
    x = convolution(convolution(frames, weights, "conv1", 1), weights, "conv2", 2)
    x = x + weights["embed_positions.weight"][:len(x)]
    outputs = [x]
    for number in range(N_BLOCKS):
        name = f"layers.{number}"
        normal = normalised(x, weights, f"{name}.self_attn_layer_norm")
        query, key, value = (dense(normal, weights, f"{name}.self_attn.{part}_proj") for part in "qkv")
        heads = [softmax(query[:, own] @ key[:, own].T / 8, axis=1) @ value[:, own]             # 8: root of 64
                 for own in (slice(0, 64), slice(64, 128))]
        x = x + dense(np.concatenate(heads, axis=1), weights, f"{name}.self_attn.out_proj")
        hidden = gelu(dense(normalised(x, weights, f"{name}.final_layer_norm"), weights, f"{name}.fc1"))
        x = x + dense(hidden, weights, f"{name}.fc2")
        outputs.append(x)
    return [*outputs[:-1], normalised(outputs[-1], weights, "layer_norm")]


# -- the network -----------------------------------------------------------------------------------
@pytest.mark.parametrize("n_frames", [1, 2, 33, 64])
def test_every_block_is_that_of_a_slow_route(n_frames, tiny, one_thread):
    from study.encoder import load_encoder
    path, weights = tiny
    frames = np.random.default_rng(n_frames).normal(0, 1, (n_frames, N_MELS)).astype(np.float32)
    outputs = load_encoder(path, range(N_BLOCKS + 1))(frames[None])
    for output, expected in zip(outputs, by_hand(frames, weights), strict=True):
        assert output.shape == (1, *expected.shape)
        np.testing.assert_allclose(output[0], expected, atol=2e-4)


def test_padding_in_a_batch_changes_nothing(tiny, one_thread):
    from study.encoder import load_encoder
    encoder, rng = load_encoder(tiny[0], (1, 3)), np.random.default_rng(0)
    frames = rng.normal(0, 1, (3, 40, N_MELS)).astype(np.float32)
    for row, length in enumerate((40, 21, 6)):
        frames[row, length:] = 0
    together = encoder(frames)
    for row, length in enumerate((40, 21, 6)):
        for output, alone in zip(together, encoder(frames[row:row + 1, :length]), strict=True):
            steps = -(-length // 2)
            np.testing.assert_allclose(output[row, :steps], alone[0], atol=1e-4)
            assert not np.any(output[row, steps:])


def test_log_mel_is_that_of_the_definition():
    """Power of a Hann-windowed transform, reflected ends, the last frame dropped, in decades, 8 of range."""
    from study.encoder import log_mel, mel_filters
    y = tone(440.0, sr=16_000, seconds=0.5)
    padded = np.pad(y, 200, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.array([np.abs(np.fft.rfft(padded[t:t + 400] * window)) ** 2 for t in range(0, len(y), 160)])
    level = np.log10(np.maximum(power @ mel_filters(80).T, 1e-10))
    np.testing.assert_allclose(log_mel(y, 80), (np.maximum(level, level.max() - 8) + 4) / 4, atol=1e-4)
    assert log_mel(y, 80).shape == (50, 80)


# -- features --------------------------------------------------------------------------------------
def test_features_of_a_clip(tiny, one_thread):
    params = dict(sr=SR, hop_length=512, encoder=encoder_params(tiny[0], blocks=(2, 1), frames_block=3))
    clip = features.Clip(tone(seconds=1.13), **params)
    steps, frames = (features.feature_function(name)(clip) for name in ("whisper", "whisper_frames"))
    assert steps.shape == (57, 2 * WIDTH) and frames.shape == (29, WIDTH)        # 50 and 25 a second
    from study import encoder
    outputs = encoder.block_outputs(clip)
    np.testing.assert_array_equal(steps, np.concatenate([outputs[1], outputs[2]], axis=1))
    np.testing.assert_allclose(frames[:28], (outputs[3][:56:2] + outputs[3][1:56:2]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(frames[28], outputs[3][56])                    # an odd number: the last is alone
    assert features.frame_seconds("whisper", params) == 0.02
    assert features.n_frames("whisper_frames", 2.95, params) == 74


def test_nothing_of_a_clip_stays_when_it_is_gone(tiny, one_thread):
    from study import encoder
    clip = features.Clip(tone(seconds=1), sr=SR, encoder=encoder_params(tiny[0], blocks=(1,), frames_block=1))
    features.feature_function("whisper")(clip)
    assert clip in encoder.OUTPUTS
    del clip
    gc.collect()
    assert not encoder.OUTPUTS


def test_a_long_recording_keeps_its_middle_half_minute(tiny, one_thread):
    params = dict(sr=16_000, encoder=encoder_params(tiny[0], blocks=(1,), frames_block=1))
    y = np.random.default_rng(0).normal(0, 0.1, 16_000 * 31).astype(np.float32)
    whole, middle = (features.feature_function("whisper")(features.Clip(part, **params))
                     for part in (y, y[8_000:-8_000]))
    np.testing.assert_array_equal(whole, middle)
    assert len(whole) == 1500


def test_the_corpus_is_extracted_with_it(tiny, demo_folder, settings, monkeypatch, one_thread):
    monkeypatch.setenv("ENCODER_WEIGHTS", str(tiny[0]))
    changed = settings(N_AUGMENTED=1, ENCODER_BLOCKS=(1, 3), ENCODER_FRAMES_BLOCK=2)
    from ser import corpora
    clips = dp.survey(corpora.find_corpus(demo_folder, changed.CLASSES).clips[:2], changed.CACHE_DIR, 1)
    extraction = dp.extraction_params(changed, ("mfcc", "whisper", "whisper_frames"))
    built = dp.build_features(clips, extraction, changed.CACHE_DIR, 1)
    assert built.functionals["whisper"].shape == (2, 2, 2 * 2 * WIDTH)
    assert built.sequences["whisper_frames"].shape == (2, 2, 74, WIDTH)
    assert built.sequences.keys() == {"mfcc", "whisper_frames"} and built.functionals.keys() == {"mfcc", "whisper"}
    y = load_waveform(clips.path[0], **extraction.loading)
    steps = features.extract(y, ("whisper",), **extraction.params_of("whisper"))["whisper"]
    np.testing.assert_allclose(built.functionals["whisper"][0, 0], np.concatenate([steps.mean(0), steps.std(0)]),
                               rtol=1e-4, atol=1e-5)
    # Other weights are other features; of the same weights it does not matter where they lie, nor to other features.
    moved = extraction.of_feature("whisper").encoder | {"checkpoint": "elsewhere"}
    assert dp.features_key(clips, extraction.of_feature("whisper")) == dp.features_key(
        clips, dp.replace(extraction.of_feature("whisper"), encoder=moved))
    assert dp.features_key(clips, extraction.of_feature("whisper")) != dp.features_key(
        clips, dp.replace(extraction.of_feature("whisper"), encoder=moved | {"sha256": "other"}))
    assert dp.features_key(clips, extraction.of_feature("mfcc")) == dp.features_key(
        clips, dp.extraction_params(changed, ("mfcc",)))


# -- weights ---------------------------------------------------------------------------------------
def test_a_fingerprint_is_of_the_weights_whatever_their_file(tiny, tmp_path):
    path, weights = tiny
    halves = {name: np.float16(tensor) for name, tensor in weights.items()}
    half = write_weights(tmp_path / "half.safetensors", halves, np.float16)
    single = write_weights(tmp_path / "single.safetensors", {name: halves[name] for name in reversed(halves)})
    other = write_weights(tmp_path / "other.safetensors", random_weights(1))
    assert fingerprint(half) == fingerprint(single) == fingerprint(path) != fingerprint(other)


def test_other_weights_than_the_models_are_refused(tiny, one_thread):
    from study.encoder import shared_encoder
    with pytest.raises(UserError, match="not the weights of .* that the model's features were made with"):
        shared_encoder(str(tiny[0]), "0" * 64, (1,))


def test_what_is_no_encoder_is_one_line(tiny, tmp_path, monkeypatch):
    monkeypatch.delenv("ENCODER_WEIGHTS", raising=False)
    one = {"model.encoder.conv1.weight": np.zeros((4, 3, 3), np.float32)}
    safetensors.save_file(one, tmp_path / "part.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors here, but some text")
    for name, message in [("part.safetensors", "no tensor model.encoder.layers.0.fc1.weight"),
                          ("text.safetensors", "not readable as safetensors"),
                          ("absent.safetensors", "no such file")]:
        with pytest.raises(UserError, match=re.escape(message)):
            encoder_params(str(tmp_path / name), (1,), 1)
    with pytest.raises(UserError, match="has the blocks 0 to 3"):
        encoder_params(str(tiny[0]), (1, 2, 4), 1)
    monkeypatch.setenv("ENCODER_WEIGHTS", str(tmp_path / "absent"))
    with pytest.raises(UserError, match="absent: no such file"):
        find_weights("openai/whisper-base")


class ProxyError(Exception):
    """As HTTP libraries have them: neither an OSError nor a ValueError."""


def test_without_network_or_package_the_way_out_is_named(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    from huggingface_hub.errors import LocalEntryNotFoundError
    monkeypatch.delenv("ENCODER_WEIGHTS", raising=False)
    for problem, words in ((OSError("no network\nat all"), "no network"), (ProxyError(), "ProxyError")):
        def unreachable(*arguments, local_files_only=False, problem=problem, **_):
            raise LocalEntryNotFoundError("not here") if local_files_only else problem

        monkeypatch.setattr(hub, "hf_hub_download", unreachable)
        with pytest.raises(UserError, match=rf"could not be downloaded \({words}\); put its model.safetensors"):
            find_weights("openai/whisper-base")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=re.escape(install_command("encoder"))):
        find_weights("openai/whisper-base")


def test_a_download_that_is_not_what_the_hub_names_is_removed(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    blob = tmp_path / ("0" * 64)
    blob.write_bytes(b"other bytes")
    monkeypatch.setattr(hub, "hf_hub_download", lambda *_: str(blob))
    with pytest.raises(UserError, match="not what the hub says it sent"):
        encoder_weights.download("openai/whisper-base")
    assert not blob.exists()
    right = tmp_path / hashlib.sha256(b"bytes").hexdigest()
    right.write_bytes(b"bytes")
    monkeypatch.setattr(hub, "hf_hub_download", lambda *_: str(right))
    assert encoder_weights.download("openai/whisper-base") == right


# -- the real weights ------------------------------------------------------------------------------
CHECKED = {                     # block: first four of the mean over frames, root mean square
    0: ((-0.1048, -0.1467, -0.0565, -0.0292), 0.868), 1: ((0.4970, 0.5971, 0.6277, 0.3122), 0.655),
    2: ((0.3867, 0.5461, 0.5691, 0.3620), 0.665), 3: ((0.4914, 0.6339, 0.5397, 0.3229), 0.698),
    4: ((0.2726, 0.8456, 0.4064, 0.5145), 1.830), 5: ((1.4638, 0.6790, 0.6265, 1.1190), 2.116),
    6: ((0.0385, 0.0052, 0.0651, 0.3887), 1.424)}


@pytest.mark.skipif("ENCODER_WEIGHTS" not in os.environ, reason="ENCODER_WEIGHTS is not set")
def test_whisper_base_gives_the_known_values(ravdess, one_thread):
    """Of one clip at 16 kHz, trimmed at 30 dB; the values were computed with another implementation."""
    import librosa
    import soundfile
    import soxr

    from study.encoder import load_encoder, log_mel
    path = next(ravdess.rglob("03-01-05-01-01-02-03.wav"))
    y, rate = soundfile.read(path, dtype="float32")
    y = librosa.effects.trim(soxr.resample(y, rate, 16_000, "HQ"), top_db=30)[0]
    encoder = load_encoder(find_weights(read_settings(config).ENCODER), range(7))
    for (first, rms), output in zip(CHECKED.values(), encoder(log_mel(y, 80)[None, :216]), strict=True):
        np.testing.assert_allclose(np.mean(output[0], axis=0)[:4], first, atol=2e-3)
        assert np.sqrt(np.mean(np.square(output))) == pytest.approx(rms, abs=2e-3)
