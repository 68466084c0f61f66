"""Files that people send to a page: in a temporary folder, each for one answer only."""
import contextlib
import secrets
import shutil
import tempfile
from pathlib import Path

from ser.errors import UserError
from ser.files import draft_path
from ser.folders import clear_drafts


@contextlib.contextmanager
def uploads_folder():
    """A temporary folder, removed at the end, or where the program is killed when it starts the next time."""
    parent = Path(tempfile.gettempdir())
    clear_drafts(parent)
    folder = draft_path(parent / "ser-app")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_upload(path):
    """The bytes of an upload. raises : UserError for one that is gone"""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as problem:
        raise UserError("this recording is forgotten; upload it again") from problem


def discard(path):
    """Deletes an upload, and its folder, in which it is alone."""
    Path(path).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        Path(path).parent.rmdir()


def refuse_addresses():
    """A program may name an address in place of a file; gradio would fetch it, of whatever size. Here it does not."""
    import gradio

    async def refuse(url, *given, **named):
        raise gradio.Error("send the file itself, not an address", print_exception=False)

    gradio.processing_utils.async_ssrf_protected_download = refuse


def keep_uploads_apart():
    """Gradio names the folder of an upload by its content, so that two people with the same file have one between them,
    and the first answer deletes it under the second. Here the name has something random as well."""
    from gradio import route_utils

    class Upload(route_utils.GradioUploadFile):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            self.sha.update(secrets.token_bytes(16))

    route_utils.GradioUploadFile = Upload
