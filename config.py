"""Every setting of the study, in one place. Edit, run `python train.py`, compare.

    NAME: limits = value        # unit; what changing it does

Read by the scripts, which hand on what a function needs. `python train.py --set NAME=VALUE --run OTHER` overrides a
setting without editing. A finished fit remembers the settings it was made with: after a change of a setting of loading,
features or augmentation all fits are done again, else those of the models that use it. Times are in seconds,
frequencies in Hz, levels in dB.
"""
from ser.settings import (
    Each,
    FolderName,
    Interval,
    Model,
    Models,
    OneOf,
    Range,
    Real,
    Recipes,
    Search,
    Text,
    Whole,
    home_folder,
)

# -- data ------------------------------------------------------------------------------------------
DATA_DIR: Text(optional=True) = None        # clips: a folder or a CSV; None: the project's folder. RAVDESS_DIR in
                                            # the environment takes precedence
# The next three lie in the project's folder, or in $SER_HOME, wherever a command is started.
CACHE_DIR: Text() = home_folder() / "cache"         # extracted features, 1.3 GB; safe to delete, made again in a minute
RESULTS_DIR: Text() = home_folder() / "results"     # one folder per run
VISUALIZATIONS_DIR: Text() = home_folder() / "visualizations"       # where viz.py puts its pictures
RUN_NAME: FolderName() = "default"          # name of the run folder; another name keeps two experiments apart

# The emotions of RAVDESS; their order is the label order everywhere: column k of a prediction is CLASSES[k].
# Other data has the classes of its clips: those that are named here in this order, then its own.
CLASSES: Each(("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"), all_needed=True) = (
    "neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")

# -- loading ---------------------------------------------------------------------------------------
SAMPLE_RATE: Real(4000, 192_000) = 22_050   # Hz; higher keeps fricatives above 11 kHz, and costs time in proportion
TRIM_DB: Real(1, 200, optional=True) = 30.0     # dB; cuts ends this far below the peak (None: no trimming). Helps
                                            # speaker-independent accuracy by 3 to 5 points, and shortens the clips
LEVEL: OneOf(("recorded", "peak", "speech")) = "recorded"       # of a clip: as it is, a cue in RAVDESS (calm peaks near
                                            # -30 dBFS, angry near -9) that depends on the microphone elsewhere; or made
                                            # equal: "peak", the largest sample; "speech", the loudest half second
CLIP_SECONDS: Real(0.1, 60) = 2.95          # s; shorter clips are padded (networks ignore it), longer keep their middle

# -- features --------------------------------------------------------------------------------------
DEFAULT_FEATURES: Each(()) = ("mfcc", "mel", "gauss", "all")    # rows of features.FEATURES, where --features is none
N_FFT: Whole(16, 2**16) = 2048              # samples (93 ms): longer resolves pitch, shorter resolves time
HOP_LENGTH: Whole(1, 2**16) = 512           # samples (23 ms) between frames: halving it doubles all training times
N_MELS: Whole(1, 1024) = 128                # bands of the mel spectrogram, which the MFCCs are made from
N_MFCC: Whole(1, "N_MELS") = 40             # coefficients kept: 13 hold the spectral envelope, 40 hold pitch as well
N_GAUSS: Whole(1, 1024) = 64                # Gaussian filters with mel-spaced centres; more are narrower
N_GAUSS_COEFFICIENTS: Whole(1, "N_GAUSS") = 40      # cepstral coefficients kept of them
F_MIN: Real(0, 96_000) = 0.0                # Hz; lower edge of both filterbanks
F_MAX: Real(1, 96_000, optional=True) = None        # Hz; upper edge of both; None: half of SAMPLE_RATE
CEPSTRAL_DECAY: Real(1, 1000, optional=True) = 15.0     # coefficient k weighs exp(-k / this), standardised: fine
                                            # spectral detail counts less. 8 keeps little but the envelope; None: all 1
TOP_DB: Real(1, 1000) = 80.0                # dB; what lies further below a clip's maximum is raised to this floor
MEAN_SUBTRACTION: Real(0, 1) = 0.0          # share of a clip's own mean that is taken off each column: the mean
                                            # carries speaker, level and microphone, but also some emotion. 0.5 helps
                                            # with new speakers, and harms with known ones

# -- features of a pretrained encoder: --features whisper whisper_frames ----------------------------
ENCODER: Text() = "openai/whisper-base"     # a name on huggingface.co, or a local model.safetensors; needs
                                            # extra encoder. $ENCODER_WEIGHTS: a file in place of the hub's
ENCODER_BLOCKS: Each(tuple(range(33))) = (1, 2, 3, 4)   # blocks whose mean and standard deviation over time are the
                                            # feature whisper: the middle ones hold how something is said, the last what
ENCODER_FRAMES_BLOCK: Whole(0, 32) = 3      # the block whose frames are the feature whisper_frames

# -- augmentation: altered copies of training clips -------------------------------------------------
N_AUGMENTED: Whole(0, 100) = 4              # copies per clip; 0 switches augmentation off
STRETCH_RATE: Interval(0.25, 4) = (0.8, 1.2)            # speed: 0.8 is slower and 25 % longer
PITCH_SEMITONES: Interval(-24, 24) = (-2.0, 2.0)        # semitones; wider makes voices less natural
NOISE_SNR_DB: Interval(-100, 200) = (30.0, 50.0)        # dB below the clip's power, white noise; under 30 it hurts
VOCAL_TRACT_WARP: Interval(0.5, 2) = (1.0, 1.0)         # factor on the frequencies of a copy's spectrum, as of a
                                            # shorter (above 1) or longer vocal tract: other voices. Not for an encoder
ALTERATIONS: Each((), empty=True) = ()      # what rooms, microphones and channels do to a recording: rows of
                                            # ser.alterations.ALTERATIONS. A copy gets each of them with a chance of 0.4

# -- cross-validation ------------------------------------------------------------------------------
PROTOCOL: OneOf(()) = "stratified"          # a row of ser.splits.PROTOCOLS: who is in training, and who is tested
N_FOLDS: Whole(2, 100) = 5                  # of "stratified" and "speakers"; the other protocols have their own
VALIDATION_FRACTION: Real(0.01, 0.9) = 0.1  # of a fold's training recordings (or speakers), held out for every choice
ENSEMBLE_SIZE: Whole(1, 100) = 3            # members of a fit, averaged, each with another validation part; more are
                                            # better, and slower in proportion. 1: a single network, as in most papers
SEED: Whole(0, 2**32 - 1) = 42              # of everything random; results differ by a point or two between seeds
ADAPT: OneOf(("none", "speaker")) = "none"  # speaker: each speaker's features are centred by that speaker's own clips,
                                            # labels unseen; a protocol of its own, also --adapt

# -- models ----------------------------------------------------------------------------------------
DEFAULT_MODELS: Each(()) = ("cnn1d", "bilstm", "hybrid", "mlp", "svm", "dtw")   # rows of MODELS, where --models is none
# What is fitted, its input, its name; of networks: epochs (at most), clips per step, optimizer, learning rate at first.
# Muon orthogonalises the step of each weight matrix, and takes fewer epochs than AdamW (Adam with weight decay).
MODELS: Models() = {
    "cnn1d":  Model("model:cnn1d",              "frames",      "1-D CNN",   20, 128, "adamw", 4e-3),
    "bilstm": Model("model:bilstm",             "frames",      "BiLSTM",    12, 128, "muon",  8e-3),
    "hybrid": Model("model:hybrid",             "frames",      "Hybrid",    12, 128, "muon",  8e-3),
    "mlp":    Model("model:mlp",                "functionals", "MLP",       40, 128, "adamw", 3e-3),
    "svm":    Model("study.svm:FunctionalsSVM", "functionals", "SVM"),
    "dtw":    Model("study.svm:DTWSVM",         "frames",      "DTW + SVM"),
    "linear": Model("study.linear:LinearProbe", "functionals", "Linear probe"),
}

# -- training of the networks ----------------------------------------------------------------------
RECIPE: OneOf(()) = "tuned"                 # a row of RECIPES, at the end of this file; also --recipe
PRECISION: OneOf(("auto", "float32", "bfloat16")) = "auto"      # of convolutions in training; auto: bfloat16 where the
                                            # processor multiplies in it, a sixth faster; models are saved in float32
WEIGHT_DECAY: Real(0, 10) = 1e-2            # pull of the weights towards zero, per step in units of the learning rate
EMA_DECAY: Real(0, 0.9999) = 0.99           # validation and saved weights are this running mean of the weights; 0: off
MIXUP_ALPHA: Real(0, 100) = 0.2             # Beta(alpha, alpha) mixes pairs of clips; 0: off, 1: mixes strongly
LABEL_SMOOTHING: Real(0, 0.9) = 0.1         # share of each target spread over all classes
TIME_MASK_SECONDS: Real(0, 60) = 0.35       # s; SpecAugment blanks up to so long a stretch per clip and epoch; 0: off
FREQ_MASK_FRACTION: Real(0, 1) = 0.0        # SpecAugment blanks up to this share of the columns; 0: off. 0.17 costs
                                            # networks on log-mel 5 points, and gains nothing on cepstra
CHECKPOINT: OneOf(("last", "best")) = "last"    # weights kept: of the last epoch, so that none is chosen by chance
                                            # on a hundred validation clips; or of the best validation accuracy
EARLY_STOPPING_PATIENCE: Whole(0, 10**6) = 8    # epochs without better validation accuracy, then stop ("best" only)
LR_SCHEDULE: OneOf(("cosine", "plateau")) = "cosine"    # learning rate: half a cosine down to zero over the epochs; or
                                            # ReduceLROnPlateau on the validation loss, with the next three
PLATEAU_PATIENCE: Whole(0, 10**6) = 5       # epochs without a lower validation loss before the rate is lowered
PLATEAU_FACTOR: Real(0.01, 0.99) = 0.5      # what it is then multiplied by
MIN_LEARNING_RATE: Real(0, 1) = 1e-5        # and never falls below

# -- training of the SVMs --------------------------------------------------------------------------
SVM_C: Real(1e-6, 1e6) = 10.0               # cost of a training clip on the wrong side of the margin; lower is smoother

# -- training of the linear probe ------------------------------------------------------------------
LINEAR_PENALTY: Real(1e-9, 1e9) = 2.0       # on squared weights, per training clip or copy; higher is smoother

# -- recipes ---------------------------------------------------------------------------------------
# What a recipe changes of the settings above; lower case: a field of every network in MODELS. --set goes on top.
RECIPES: Recipes() = {
    "tuned": {},            # nothing: the values above; docs/protocol.md says how they were chosen
    "described": dict(      # the usual description of these networks, and nothing that it does not name
        DEFAULT_MODELS=("cnn1d", "bilstm", "hybrid", "mlp"), ENSEMBLE_SIZE=1, epochs=100, optimizer="adamw",
        learning_rate=4e-3, CHECKPOINT="best", EARLY_STOPPING_PATIENCE=30, LR_SCHEDULE="plateau", PLATEAU_FACTOR=0.5,
        N_AUGMENTED=4, MIXUP_ALPHA=0.2, LABEL_SMOOTHING=0.1, EMA_DECAY=0, TIME_MASK_SECONDS=0, FREQ_MASK_FRACTION=0,
        CEPSTRAL_DECAY=None),
    "robust": dict(         # for other voices, microphones, rooms and channels: no level, no sound above 7 kHz, half of
        # a clip's mean taken off, and copies as of other voices and as if recorded elsewhere
        LEVEL="speech", F_MAX=7000.0, MEAN_SUBTRACTION=0.5, VOCAL_TRACT_WARP=(0.85, 1.18),
        ALTERATIONS=("room", "speech_noise", "hiss", "gain", "band", "codec"), FREQ_MASK_FRACTION=0.17),
}

# -- search ----------------------------------------------------------------------------------------
# What `train.py --search N` draws from: values, or a Range(lowest, highest), with "log" evenly in the logarithm, whole
# numbers where both ends are. Settings of training alone; those that the models in question do not use are left out.
SEARCH: Search() = {
    "MODELS.cnn1d.learning_rate": Range(1e-3, 1.6e-2, "log"), "MODELS.bilstm.learning_rate": Range(2e-3, 3.2e-2, "log"),
    "MODELS.hybrid.learning_rate": Range(2e-3, 3.2e-2, "log"), "MODELS.mlp.learning_rate": Range(8e-4, 1.2e-2, "log"),
    "WEIGHT_DECAY": Range(1e-3, 1e-1, "log"),
    "EMA_DECAY": (0, 0.98, 0.99, 0.995),
    "MIXUP_ALPHA": (0, 0.1, 0.2, 0.4, 0.8),
    "LABEL_SMOOTHING": (0, 0.05, 0.1, 0.2),
    "TIME_MASK_SECONDS": Range(0.0, 0.7),
    "FREQ_MASK_FRACTION": Range(0.0, 0.4),
    "SVM_C": Range(0.3, 300, "log"),
    "LINEAR_PENALTY": Range(0.1, 40.0, "log"),
}
