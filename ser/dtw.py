"""Dynamic time warping (DTW): the distance of two clips after aligning them in time.

    (frames, n) --with deltas, neighbours averaged--> (steps, 2 n) --best alignment with another--> distance

Two takes of a sentence differ in tempo. The alignment removes that and keeps how it was spoken: melody, timbre, level,
and how they move. Nothing is trained here; study/svm.py trains on the distances.
"""
import functools

import numpy as np

DTW_PARAMS = dict(
    delta_reach=5,              # frames to either side that a delta is estimated over
    delta_weight=4,             # frames: a column and what its delta adds up to in this time weigh the same
    stride=2,                   # frames that are averaged to one step; the time taken falls with its square
)
DIAGONAL_STEP_COST = 1.5        # weight of a step in both clips, where a step in one has 1; under 2 favours equal tempo


def frame_descriptors(x, *, delta_reach, delta_weight, stride):
    """What is compared of a clip: standardised frames, float (frames, n) -> float16 (ceil(frames / stride), 2 n)."""
    import librosa
    delta = librosa.feature.delta(x, width=2 * delta_reach + 1, order=1, axis=0, mode="nearest")     # per frame
    x = np.concatenate([x, delta_weight * delta], axis=1)                                           # (frames, 2 n)
    x = np.pad(x, ((0, -len(x) % stride), (0, 0)), mode="edge")
    return x.reshape(-1, stride, x.shape[1]).mean(axis=1).astype(np.float16)


def distances(clips, others=None):
    """Of each clip to each of the others, or to each of themselves: lists of (any, columns) -> float32 (clips, others).

    An alignment leads from both beginnings to both ends. Each of its moves goes on by a step in one clip or in both, at
    the Euclidean distance of the steps it reaches, times DIAGONAL_STEP_COST if in both. The cheapest sum is divided by
    the number of steps of both clips. After Sakoe & Chiba, "Dynamic programming algorithm optimization for spoken word
    recognition", 1978, whose symmetric form has 2 for
    DIAGONAL_STEP_COST. Twelve microseconds for two clips of two seconds.
    raises : ValueError for clips with other columns than the others'
    """
    same, others = others is None, clips if others is None else others
    result = np.zeros((len(clips), len(others)), np.float32)
    if not result.size:
        return result
    if len({clip.shape[1] for clip in [*clips, *others]}) > 1:      # the compiled loop would read past their ends
        raise ValueError("clips of different numbers of columns")
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
    import numba
    compiled = numba.njit(fastmath={"reassoc", "contract"})     # sums in any order, so that eight terms go at once

    @compiled
    def frame_distance(a, b):
        total = np.float32(0)
        for column in range(len(a)):
            total += (a[column] - b[column]) ** 2
        return np.sqrt(total)

    @compiled
    def dtw_distance(a, b):
        accumulated_cost = np.full(len(b) + 1, np.float32(np.inf))  # up to each step of b, for the step of a before
        accumulated_cost[0] = 0
        for i in range(len(a)):
            diagonal, accumulated_cost[0] = accumulated_cost[0], np.float32(np.inf)
            for j in range(len(b)):
                here = frame_distance(a[i], b[j])
                cost = min(diagonal + np.float32(DIAGONAL_STEP_COST) * here, accumulated_cost[j + 1] + here,
                           accumulated_cost[j] + here)
                diagonal, accumulated_cost[j + 1] = accumulated_cost[j + 1], cost
        return accumulated_cost[len(b)] / np.float32(len(a) + len(b))

    @compiled
    def row(clip, others, starts):
        result = np.zeros(len(starts) - 1, np.float32)
        for j in range(len(result)):
            result[j] = dtw_distance(clip, others[starts[j]:starts[j + 1]])
        return result

    return row
