"""What a user can mend is a UserError: one line on standard error, exit status 2, no traceback."""
import contextlib
import sys


class UserError(ValueError):
    """A mistake that the user can mend; the message is one line that names the file or value and the way out."""


def run_command(script, main, arguments):
    """Run a script's `main(arguments)`; a UserError or a system error, such as a full disk, is a line and status 2."""
    try:
        main(arguments)
    except (UserError, OSError) as error:
        print(f"{script}: error: {error}", file=sys.stderr)
        sys.exit(2)


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
