"""The classical line that every net must beat: a support vector machine on the functionals of a clip.

RBF kernel, scikit-learn. It trains on the clips as recorded, in about a second; its settings are SVM_C in config.py
and scikit-learn's default width. No model file: scikit-learn's would be a pickle, which runs code when it is loaded.
"""
import time

import numpy as np
from scipy.special import softmax
from sklearn.svm import SVC

import scores
from data_preprocessing import normalise, normaliser


def fit(x, labels, parts, settings):
    """Fit on the training part, predict the validation and test parts.

    x       : float (clips, versions, 13 n), functionals; version 0 is the clip
    labels  : int (clips,); those of the test part are not looked at
    parts   : {"train", "validation", "test"}: clip indices
    returns : as `fit.fit`, without model and history. Probabilities are the softmax of the one-against-rest decision
              values, at the temperature that suits the validation part
    """
    start = time.perf_counter()
    clips = np.asarray(x[:, 0])                                                 # (clips, 13 n)
    mean, std = normaliser(clips, None, parts["train"])
    clips = normalise(clips, mean, std, None)
    machine = SVC(C=settings.SVM_C, kernel="rbf", decision_function_shape="ovr")
    machine.fit(clips[parts["train"]], labels[parts["train"]])

    def spread(part):
        values = np.zeros((len(parts[part]), len(settings.CLASSES)))
        decision = machine.decision_function(clips[parts[part]])    # (clips, classes); of two classes only the second's
        values[:, machine.classes_] = decision if decision.ndim == 2 else np.stack([-decision, decision], axis=1)
        return softmax(values, axis=1)

    temperature = scores.best_temperature(spread("validation"), labels[parts["validation"]])
    return dict(mean=mean, std=std, parameters=machine.support_vectors_.size + machine.dual_coef_.size,
                validation=scores.cooled(spread("validation"), temperature),
                test=scores.cooled(spread("test"), temperature), seconds=time.perf_counter() - start)
