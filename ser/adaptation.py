"""Adaptation to a speaker: features centred by the speaker's own clips, whose emotions are not looked at.

What is left is how a clip differs from the speaker's other clips. Training speakers, and tested ones, are centred by
all of their clips. Of a new speaker there may be few: the fewer, the more the mean is drawn towards that of the
training speakers (`speaker_offset`). Unlabelled clips of the tested speakers are used, so a number obtained this way is
of a protocol of its own.
"""
import numpy as np

from ser.terminal import plural

MIN_CLIPS = 5           # of a speaker in a corpus; of fewer it is said
PRIOR_CLIPS = 3         # clips of a new speaker that count as much as all that is known of other speakers


def few_clips_warning(speakers):
    """A line on the speakers that have too few clips to be centred by, or "". speakers : Series (clips,)"""
    counts = speakers.value_counts()
    few = sorted(map(str, counts.index[counts < MIN_CLIPS]))
    return f"warning: {len(few)} of {plural(len(counts), 'speaker')} with fewer than {MIN_CLIPS} clips, of which a " \
        f"mean says little: {', '.join(few[:5])}{' ...' * (len(few) > 5)}" if few else ""


def centre(x, mean, lengths=None):
    """x - mean, and exactly 0 in padded frames: float32 of the shape of x.

    x : (clips, frames, n) with lengths (clips,), or (clips, 13 n); mean : (n,) or (13 n,)
    """
    x = np.float32(x - mean)
    if lengths is not None:
        x[np.arange(x.shape[1]) >= np.asarray(lengths)[:, None]] = 0
    return x


def speaker_offset(own_mean, n_clips, typical_mean):
    """What a new speaker's features are centred by: between the mean of the speaker's own clips, float (n,), and that
    of the training speakers, (n,). With PRIOR_CLIPS clips it is half of each; the form is that of the expected mean
    where clips vary normally about a speaker, and speakers about their mean.
    """
    share = n_clips / (n_clips + PRIOR_CLIPS)
    return share * own_mean + (1 - share) * typical_mean
