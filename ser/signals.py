"""Ctrl-C is one line, whenever it comes: also while packages are still being loaded."""
import sys
import warnings


def install_interrupt_handler():
    """From here on an interrupt that nobody catches says "stopped" in place of where; the exit status stays a shell's.

    What is being written when it comes is cleared away as after any error (files.write_atomically).
    """
    def say(kind, problem, trace):
        if issubclass(kind, KeyboardInterrupt):
            print("\nstopped", file=sys.stderr)
        else:
            sys.__excepthook__(kind, problem, trace)

    sys.excepthook = say
    # joblib's, of what its workers had begun when an interrupt or an error came
    warnings.filterwarnings("ignore", ".*still being processed by the workers have been cancelled")
