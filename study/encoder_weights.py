"""Weights of a pretrained encoder: found on disk or on the hub, checked, named by what they hold. No TensorFlow.

    params = encoder_params("openai/whisper-base", blocks=(1, 2, 3, 4), frames_block=3)
    weights = read_weights(find_weights(params["checkpoint"]))

A checkpoint is the name of a model on huggingface.co or a local file model.safetensors. The environment variable
ENCODER_WEIGHTS names a file to take in place of the hub's. The hub's files are kept in the user's cache (HF_HOME).
"""
import contextlib
import functools
import hashlib
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ser.errors import UserError
from ser.files import file_sha256
from ser.settings import install_command

FILE, PREFIX = "model.safetensors", "model.encoder."
INSTALL = install_command("encoder")


class Shape(NamedTuple):
    """The sizes of an encoder; in brackets those of whisper-base."""
    n_mels: int         # bands of the mel spectrogram (80)
    width: int          # of a block's output (512)
    inner: int          # of the dense layers in a block (2048)
    positions: int      # steps of 20 ms (1500)
    n_blocks: int       # (6)

    @property
    def heads(self):
        return self.width // 64         # in all sizes of Whisper


def encoder_params(checkpoint, blocks, frames_block):
    """What decides the features of an encoder: dict(checkpoint, sha256 of its weights, blocks, frames_block).

    blocks       : whose output the feature whisper describes; 0 is what enters the first block
    frames_block : the one whose output whisper_frames is
    raises       : UserError, also where the weights must be downloaded and cannot be
    """
    path = find_weights(checkpoint)
    n_blocks = read_shape(path).n_blocks
    if not set(blocks) | {frames_block} <= set(range(n_blocks + 1)):
        raise UserError(f"ENCODER_BLOCKS, ENCODER_FRAMES_BLOCK: {path} has the blocks 0 to {n_blocks}")
    return dict(checkpoint=str(checkpoint), sha256=fingerprint(path), blocks=sorted(set(blocks)),
                frames_block=frames_block)


def checked_weights(checkpoint, sha256):
    """The file with these very weights. raises : UserError, also where the file has others"""
    path = find_weights(checkpoint)
    if fingerprint(path) != sha256:
        raise UserError(f"{path}: not the weights of {checkpoint} that the model's features were made with")
    return path


def find_weights(checkpoint, may_download=True):
    """The file with the weights; downloaded, with a progress bar, where it is not there yet. raises : UserError"""
    named = [Path(checkpoint)] if str(checkpoint).endswith(".safetensors") else []
    named += [Path(os.environ["ENCODER_WEIGHTS"])] if os.environ.get("ENCODER_WEIGHTS") else []
    if named:
        found = next((path for path in named if path.is_file()), None)
        if not found:
            raise UserError(f"{named[-1]}: no such file (weights of the pretrained encoder: ENCODER in config.py, or "
                            "$ENCODER_WEIGHTS)")
        return found
    try:
        import huggingface_hub
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError as problem:
        raise UserError(f"weights of {checkpoint}: {INSTALL}") from problem
    try:
        return Path(huggingface_hub.hf_hub_download(checkpoint, FILE, local_files_only=True))
    except HFValidationError as problem:
        raise UserError(f"ENCODER = {checkpoint!r} is neither a name on the hub nor a .safetensors file") from problem
    except LocalEntryNotFoundError as problem:
        if may_download:
            return download(checkpoint)
        raise UserError(f"weights of {checkpoint} are not on this machine; once: hf download {checkpoint} {FILE}") \
            from problem


def weights_at_hand(checkpoint, sha256):
    """Whether these very weights can be read here without a download; where not, why not is printed."""
    try:
        return fingerprint(find_weights(checkpoint, may_download=False)) == sha256
    except UserError as problem:
        print(f"a ready model that is more accurate is left aside: {problem}", file=sys.stderr)
        return False


def download(checkpoint):
    """Fetch the weights of a checkpoint from the hub; compared with the hub's own SHA-256. raises : UserError"""
    import huggingface_hub
    print(f"weights of {checkpoint}, from huggingface.co, once:", file=sys.stderr)
    try:
        path = Path(huggingface_hub.hf_hub_download(checkpoint, FILE))
    except Exception as problem:        # the hub's errors, and those of whichever HTTP library it uses, share no base
        reason = (str(problem).splitlines() or [type(problem).__name__])[0][:100]
        raise UserError(f"weights of {checkpoint} could not be downloaded ({reason}); put its {FILE} somewhere and "
                        f"name it: ENCODER_WEIGHTS=/path/{FILE}") from problem
    expected = path.resolve().name                  # the cache names a file by its SHA-256
    if re.fullmatch("[0-9a-f]{64}", expected) and file_sha256(path) != expected:
        path.resolve().unlink()
        raise UserError(f"weights of {checkpoint}: what came is not what the hub says it sent; try again")
    return path


def read_weights(path):
    """The encoder's tensors in a safetensors file, which is plain data: {name: float32 array}. raises : UserError"""
    with open_weights(path) as file:
        return {name: file.get_tensor(PREFIX + name).astype(np.float32) for name in tensor_names(file)}


def read_shape(path):
    """The Shape of the weights in a safetensors file. raises : UserError where they are of another network"""
    with open_weights(path) as file:
        names = tensor_names(file)
        wanted = ("conv1.weight", "layers.0.fc1.weight", "embed_positions.weight")
        missing = [name for name in wanted if name not in names]
        if missing:
            raise UserError(f"{path}: no Whisper encoder; it has no tensor {PREFIX}{missing[0]}")
        (width, n_mels, _), (inner, _), (positions, _) = (file.get_slice(PREFIX + name).get_shape() for name in wanted)
        return Shape(n_mels, width, inner, positions, sum(name.endswith(".fc1.weight") for name in names))


@contextlib.contextmanager
def open_weights(path):
    """A safetensors file, open; what goes wrong with it within the block is a UserError."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as problem:
        raise UserError(f"{path}: {INSTALL}") from problem
    try:
        with safe_open(path, "numpy") as file:
            yield file
    except UserError:
        raise
    except (SafetensorError, OSError, TypeError, ValueError) as problem:
        raise UserError(f"{path}: not readable as safetensors ({problem})") from problem


def tensor_names(file):
    """The names of the encoder's tensors, without their common beginning."""
    return [name.removeprefix(PREFIX) for name in file.keys() if name.startswith(PREFIX)]       # noqa: SIM118


def fingerprint(path):
    """SHA-256 of the encoder's tensors as float16, whatever file and number format they come in."""
    return fingerprint_of_file(str(path), os.stat(path).st_mtime_ns)


@functools.lru_cache(maxsize=4)
def fingerprint_of_file(path, changed):
    digest = hashlib.sha256()
    for name, tensor in sorted(read_weights(path).items()):
        digest.update(f"{name} {tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor, "<f2").tobytes())
    return digest.hexdigest()
