"""Every setting of the study, in one place. Edit, run `python train.py`, compare.

Read by train.py, viz.py and data_preprocessing.py; features.py and model.py take arguments instead.
Times are in seconds, frequencies in Hz, levels in dB. A finished fit remembers the settings it was
made with: after a change here, the next run redoes the fits that the change can touch.
"""
from pathlib import Path

# -- data ------------------------------------------------------------------------------------------
DATA_DIR = None               # folder with clips, or a CSV of them; None: the project root. $RAVDESS_DIR goes before it
CACHE_DIR = Path("cache")     # extracted features, about 1.3 GB; safe to delete, rebuilt in minutes
RESULTS_DIR = Path("results")                   # one folder per run
VISUALIZATIONS_DIR = Path("visualizations")     # where viz.py puts its pictures
RUN_NAME = "default"               # name of the run folder; another name keeps two experiments apart

# The emotions of RAVDESS, all eight; their order is the label order everywhere: column k of a prediction is CLASSES[k].
# Other data has the classes of its clips: those that are named here in this order, then its own.
CLASSES = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")

# -- loading ---------------------------------------------------------------------------------------
SAMPLE_RATE = 22_050          # Hz; higher keeps fricatives above 11 kHz, and costs time in proportion
TRIM_DB = 30.0                # cut leading and trailing sound this far below the peak; None keeps all.
                              # Trimming helps on unseen speakers (+3 to 5 points) and shortens the clips
PEAK_NORMALISE = False        # True removes the level of a clip. Level tells emotions apart in RAVDESS (calm
                              # peaks near -30 dBFS, angry near -9) but depends on the microphone elsewhere
CLIP_SECONDS = 2.95           # frames per clip after trimming: shorter clips are padded (the nets do not
                              # look at padding), longer ones (2 % of them) keep their middle

# -- features --------------------------------------------------------------------------------------
FEATURES = ("mfcc", "mel", "gauss")   # each is a study of its own
N_FFT = 2048                  # samples (93 ms): longer resolves pitch, shorter resolves time
HOP_LENGTH = 512              # samples (23 ms) between frames: halving it doubles all training times
N_MELS = 128                  # bands of the mel spectrogram, which the MFCCs are made from
N_MFCC = 40                   # coefficients kept: 13 hold the spectral envelope, 40 hold pitch as well
N_GAUSS = 64                  # Gaussian filters, mel-spaced centres; more are narrower
N_GAUSS_COEFFICIENTS = 40     # cepstral coefficients kept of them
F_MIN, F_MAX = 0.0, SAMPLE_RATE / 2   # Hz; edges of the mel and Gaussian filterbanks
CEPSTRAL_DECAY = 15.0                 # what a cepstral coefficient counts falls to 1/e over so many of them: fine detail
                              # tells less. 8 keeps little but the envelope; None: all count the same
TOP_DB = 80.0                 # dB; what lies further below a clip's loudest spot is raised to this floor

# -- augmentation: copies of training clips --------------------------------------------------------
N_AUGMENTED = 4                    # per clip; 0 switches augmentation off
STRETCH_RATE = (0.8, 1.2)     # speed: 0.8 is slower and 25 % longer
PITCH_SEMITONES = (-2.0, 2.0)
NOISE_SNR_DB = (30.0, 50.0)   # white noise this far below the clip's power; under about 30 dB it hurts

# -- cross-validation ------------------------------------------------------------------------------
PROTOCOLS = ("stratified", "timnet", "emobox", "luna", "loso", "sentence", "speakers", "given")    # see splits.py
PROTOCOL = "stratified"             # one of them; emobox, luna, loso, speakers: those tested have not been heard in training
N_FOLDS = 5                     # of "stratified" and "speakers"; the others have their own. Each clip is tested once
VALIDATION_FRACTION = 0.1        # of a fold's training recordings (or speakers), cut out for every choice in training
ENSEMBLE_SIZE = 3                   # networks that a fit trains and averages, each with another share cut out; more are
                              # better, and slower in proportion. 1: a single network, as most papers have it
SEED = 42                     # of everything random; results differ by a point or two between seeds

# -- training --------------------------------------------------------------------------------------
MODELS = ("cnn1d", "bilstm", "hybrid", "mlp", "svm", "dtw")     # mlp and svm see functionals, the others frames
EPOCHS = {"cnn1d": 20, "bilstm": 20, "hybrid": 20, "mlp": 40}  # at most, each over all clips and copies
BATCH_SIZE = {"cnn1d": 128, "bilstm": 128, "hybrid": 128, "mlp": 64}            # clips per step
LEARNING_RATE = {"cnn1d": 4e-3, "bilstm": 4e-3, "hybrid": 4e-3, "mlp": 2e-3}    # of AdamW at the start
WEIGHT_DECAY = 1e-2           # pull of the weights towards zero, per step in units of the learning rate
EMA_DECAY = 0.99                    # validation and the kept weights use this running average of the weights; 0: off
MIXUP_ALPHA = 0.2             # Beta(alpha, alpha) mixes pairs of clips; 0: off, 1: mixes strongly
LABEL_SMOOTHING = 0.1         # share of each target spread over all classes
TIME_MASK_SECONDS = 0.35      # SpecAugment: a stretch of up to this length is blanked per clip and epoch; 0: off
FREQ_MASK_FRACTION = 0.17        # SpecAugment: up to this share of the bands or coefficients is blanked; 0: off
CHECKPOINT = "last"                 # "last": the weights at the end of EPOCHS, so no epoch is picked for being lucky on a
                              # hundred validation clips; "best": those of the best validation accuracy, with
EARLY_STOPPING_PATIENCE = 8   # epochs without a better one, then training stops
LR_SCHEDULE = "cosine"           # "cosine": the learning rate falls to zero over EPOCHS, along half a cosine;
                              # "plateau": ReduceLROnPlateau on the validation loss, with the three values below
PLATEAU_PATIENCE = 5          # epochs without a lower validation loss, then the learning rate is multiplied by
PLATEAU_FACTOR = 0.5
MINIMUM_LEARNING_RATE = 1e-5
SVM_C = 10.0                  # of svm and dtw: cost of a training clip on the wrong side; lower is smoother

# -- derived: not for editing ----------------------------------------------------------------------
LOADING_SETTINGS = dict(sr=SAMPLE_RATE, trim_db=TRIM_DB, peak_normalise=PEAK_NORMALISE)
FEATURE_SETTINGS = dict(sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP_LENGTH, n_mels=N_MELS, n_mfcc=N_MFCC,
                        n_gauss=N_GAUSS, n_gauss_coefficients=N_GAUSS_COEFFICIENTS,
                        fmin=F_MIN, fmax=F_MAX, top_db=TOP_DB)
AUGMENTATION_SETTINGS = dict(stretch_rate=STRETCH_RATE, pitch_semitones=PITCH_SEMITONES,
                             noise_snr_db=NOISE_SNR_DB)
N_FRAMES = 1 + int(CLIP_SECONDS * SAMPLE_RATE) // HOP_LENGTH          # per clip: 128
