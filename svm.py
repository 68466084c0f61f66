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
from splits import by_those_that_left_out


def fit(x, labels, members, settings):
    """Fit a machine for each member, predict the validation clips by those that left them out, the test clips by all.

    x       : float (clips, versions, 13 n), functionals; version 0 is the clip
    labels  : int (clips,); those of the test part are not looked at
    members : [{"train", "validation", "test"}: clip indices], as in `fit.fit`
    returns : as `fit.fit`, without model and history; mean and std are those of the last member
    """
    start = time.perf_counter()
    outcomes = [fit_one(x, labels, parts, settings) for parts in members]
    validation = [outcome["validation"] for outcome in outcomes]
    return dict(outcomes[-1], validation=by_those_that_left_out(members, validation),
                test=np.mean([outcome["test"] for outcome in outcomes], axis=0),
                parameters=sum(outcome["parameters"] for outcome in outcomes), seconds=time.perf_counter() - start)


def fit_one(x, labels, parts, settings):
    """A machine for one member. Probabilities are the softmax of the one-against-rest decision values, at the
    temperature that suits the validation part."""
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
                test=scores.cooled(spread("test"), temperature))
