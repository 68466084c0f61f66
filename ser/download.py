"""Fetches the RAVDESS speech clips: an address in, a checked and unpacked folder out.

`python data_preprocessing.py --download [DIR]` is the command. A download that was broken off starts again, one that is
finished is not repeated, and an archive that is not the published one is deleted before anything of it is unpacked.
"""
import shutil
import sys
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ser.errors import UserError
from ser.files import write_atomically

SOURCE = "doi:10.5281/zenodo.1188976/Audio_Speech_Actors_01-24.zip"     # version 1.0.0, CC BY-NC-SA 4.0
MD5 = "bc696df654c87fed845eb13823edef8a"
LARGEST = 4 * 2**30             # bytes unpacked; the published archive has a sixth of it
LARGEST_MEMBER = 100 * 2**20    # bytes of a file in it; the longest clip has a hundredth of it


def fetch(folder, source=SOURCE, md5=MD5):
    """Download the archive at `source` into `folder`, check it, unpack it there and remove it.

    raises : UserError, with the way out, for a network that fails or an archive that is not the expected one
    """
    import pooch
    folder = Path(folder)
    pooch.get_logger().setLevel("WARNING")
    name = PurePosixPath(source).name
    try:
        archive = Path(pooch.retrieve(source, f"md5:{md5}", fname=name, path=folder, progressbar=sys.stderr.isatty()))
    except (ValueError, OSError) as problem:
        what = f"what arrived is not the published archive, whose MD5 is {md5}; it was deleted" \
            if "hash" in str(problem) else f"the download failed ({str(problem).splitlines()[0]})"
        raise UserError(f"{source}: {what}. Try again, or fetch it by hand from "
                         "https://zenodo.org/records/1188976") from problem
    unpack(archive, folder)
    archive.unlink()


def unpack(archive, folder):
    """Unpack a zip file, all of it inside `folder`; a member that would land elsewhere stops it before the first.

    Each file appears whole or not at all, and is not written again where it is already there.
    raises : UserError
    """
    try:
        with zipfile.ZipFile(archive) as members:
            files = [member for member in members.infolist() if not member.is_dir()]
            for member in files:
                path = PurePosixPath(member.filename.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts or ":" in member.filename:
                    raise UserError(f"{archive}: refused, since {member.filename!r} would be written outside {folder}")
            if sum(member.file_size for member in files) > LARGEST:
                raise UserError(f"{archive}: refused, since it would unpack to more than {LARGEST / 2**30:.0f} GB")
            for member in files:
                if member.file_size > LARGEST_MEMBER:
                    raise UserError(f"{archive}: refused, since {member.filename!r} has {member.file_size / 2**20:.0f} "
                                    f"MB, and a clip at most {LARGEST_MEMBER // 2**20}")
            for member in files:
                path = folder / member.filename
                if path.exists() and path.stat().st_size == member.file_size:
                    continue
                with write_atomically(path) as tmp_path, members.open(member) as content, open(tmp_path, "wb") as file:
                    shutil.copyfileobj(content, file)               # checks the CRC
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as problem:
        # RuntimeError: encrypted; NotImplementedError: a way of packing that Python does not know
        raise UserError(f"{archive}: a broken zip file ({problem}); delete it and try again") from problem
