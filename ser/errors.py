"""What a user can mend is a UserError: one line on standard error, exit status 2, no traceback."""
import contextlib
import os
import select
import sys
import warnings

PIPE_CLOSED = 141       # exit status of a command whose output nobody reads any more, as a shell gives it (SIGPIPE)


class UserError(ValueError):
    """A mistake that the user can mend; the message is one line that names the file or value and the way out."""


def run_command(script, main, arguments):
    """Run a script's `main(arguments)`; a UserError or a system error, such as a full disk, is a line and status 2.

    Ends quietly where what reads the output has closed it, as `| head` does. Warnings of libraries are not shown.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"             # of worker processes
    try:
        main(arguments)
        sys.stdout.flush()
    except (UserError, OSError) as error:
        if isinstance(error, BrokenPipeError) and is_closed(sys.stdout):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())      # what is left to print at the end
            sys.exit(PIPE_CLOSED)
        print(f"{script}: error: {error}", file=sys.stderr)
        sys.exit(2)


def is_closed(stream):
    """Whether a stream is a pipe that nobody reads any more."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except (AttributeError, OSError):                       # Windows; a stream that is no file
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


@contextlib.contextmanager
def with_path_in_error(path):
    """Re-raise an OSError from the block with `path` in its message, not that of a temporary file, or none.

    raises : OSError
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
