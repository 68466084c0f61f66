"""How alike two clips are when each may be spoken at its own pace: dynamic time warping (DTW).

    (frames, n) --with slopes, neighbours averaged--> (steps, 2 n) --best alignment with another--> distance

Whoever speaks a sentence twice speaks it alike, faster here and slower there. The alignment takes that out and leaves
what was said how: melody, timbre, level, and how they move. Nothing is learnt; svm.py learns from the distances.
"""
import functools

import librosa
import numba
import numpy as np

DTW_PARAMS = dict(
    slope_reach=5,              # frames to either side that a slope is measured over
    slope_weight=4,             # frames: a column and what its slope adds up to in this time weigh the same
    stride=2,                   # frames that become one step; the time taken falls with its square
)
DIAGONAL_STEP_COST = 1.5                  # price of a step in both clips, in steps in one; under 2, it is cheaper to keep pace


def frame_descriptors(x, *, slope_reach, slope_weight, stride):
    """What is compared of a clip: normalised frames, float (frames, n) -> float16 (ceil(frames / stride), 2 n)."""
    slope = librosa.feature.delta(x, width=2 * slope_reach + 1, order=1, axis=0, mode="nearest")     # per frame
    x = np.concatenate([x, slope_weight * slope], axis=1)                                           # (frames, 2 n)
    x = np.pad(x, ((0, -len(x) % stride), (0, 0)), mode="edge")
    return x.reshape(-1, stride, x.shape[1]).mean(axis=1).astype(np.float16)


def distances(clips, others=None):
    """Of each clip to each of the others, or to each of themselves: lists of (any, columns) -> float32 (clips, others).

    An alignment leads from both beginnings to both ends. Each of its moves goes on by a step in one clip or in both, at
    the Euclidean distance of the steps it reaches, times DIAGONAL if in both. The cheapest sum is divided by the number
    of steps of both clips. After Sakoe & Chiba, "Dynamic programming algorithm optimization for spoken word
    recognition", 1978, whose symmetric form has 2 for DIAGONAL. Twelve microseconds for two clips of two seconds.
    """
    same, others = others is None, clips if others is None else others
    result = np.zeros((len(clips), len(others)), np.float32)
    if not result.size:
        return result
    joined, starts = np.concatenate(others).astype(np.float32), np.cumsum([0, *map(len, others)])
    row = compiled_row()
    for number, clip in enumerate(clips):                   # row by row, so that Ctrl-C need not wait for all of them
        count = number if same else len(others)
        result[number, :count] = row(clip.astype(np.float32), joined, starts[:count + 1])
    return result + result.T if same else result


@functools.cache
def compiled_row():
    """The compiled loop, made when it is first needed (two seconds): a clip, others one after another and where each of
    them starts -> float32 (others,)."""
    compiled = numba.njit(fastmath={"reassoc", "contract"})     # sums in any order, so that eight terms go at once

    @compiled
    def apart(a, b):
        total = np.float32(0)
        for column in range(len(a)):
            total += (a[column] - b[column]) ** 2
        return np.sqrt(total)

    @compiled
    def aligned(a, b):
        cheapest = np.full(len(b) + 1, np.float32(np.inf))      # way to each step of b, now from the step of a before
        cheapest[0] = 0
        for i in range(len(a)):
            diagonal, cheapest[0] = cheapest[0], np.float32(np.inf)
            for j in range(len(b)):
                here = apart(a[i], b[j])
                way = min(diagonal + np.float32(DIAGONAL_STEP_COST) * here, cheapest[j + 1] + here, cheapest[j] + here)
                diagonal, cheapest[j + 1] = cheapest[j + 1], way
        return cheapest[len(b)] / np.float32(len(a) + len(b))

    @compiled
    def row(clip, others, starts):
        result = np.zeros(len(starts) - 1, np.float32)
        for j in range(len(result)):
            result[j] = aligned(clip, others[starts[j]:starts[j + 1]])
        return result

    return row
