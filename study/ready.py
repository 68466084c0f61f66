"""Models that come with the project, for an answer before anything is trained: ready/<feature>-<model>/, and
ready/<feature>-<model>-adapted/ for recordings of one speaker.

Trained on all of RAVDESS with `--recipe robust`; MODEL_CARD.md in each folder says how, and how good they are on
speakers that are not in training. They hold weights of networks or of a linear probe, no clips. How they are made:
docs/usage.md.
"""
import json
from pathlib import Path

from ser.errors import UserError
from study.encoder_weights import weights_at_hand
from study.inference import has_model

FOLDER = Path(__file__).parents[1] / "ready"


def ready_model(networks_only=False, same_speaker=False):
    """Folder of the model that comes with the project and can run here: one on a pretrained encoder goes first, where
    the encoder's weights are on this machine; with `same_speaker` one that adapts to a speaker, where there is such.

    raises : UserError
    """
    found = []
    for path in sorted(FOLDER.glob("*/preprocessing.json")):
        metadata = json.loads(path.read_text())
        encoder, adapts = metadata["params"].get("encoder"), metadata["speaker_mean"] is not None
        if has_model(path.parent, networks_only) and (same_speaker or not adapts) and (
                encoder is None or weights_at_hand(encoder["checkpoint"], encoder["sha256"])):
            found.append((not adapts, encoder is None, path.parent))
    if not found:
        raise UserError(f"{FOLDER}: no model there; train one with train.py, or name its folder with --model")
    return min(found)[-1]
