"""The download, from a server on this machine: a good archive, a broken one, a hostile one, and none."""
import functools
import hashlib
import http.server
import threading
import zipfile

import pytest

import config
import data_preprocessing as dp
from ser import corpora, download
from ser.errors import UserError, run_command


@pytest.fixture
def server(tmp_path):
    """(address, folder that it serves, [paths asked for])."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):
            asked.append(self.path)

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", folder, asked
    running.shutdown()
    running.server_close()
    thread.join()


def archive(path, files):
    """A zip file of {name: bytes}, and its MD5."""
    with zipfile.ZipFile(path, "w") as members:
        for name, content in files.items():
            members.writestr(name, content)
    return hashlib.md5(path.read_bytes()).hexdigest()


def inside(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_command_fetches_reports_and_does_not_fetch_twice(server, demo_folder, tmp_path, monkeypatch, capsys):
    address, served, asked = server
    clips = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in demo_folder.rglob("*.wav")}
    md5 = archive(served / "clips.zip", clips)
    monkeypatch.setattr(corpora, "RAVDESS_CLIPS", len(clips))
    monkeypatch.setattr(config, "CACHE_DIR", tmp_path / "cache")
    monkeypatch.setattr(dp.download, "fetch", functools.partial(download.fetch, source=f"{address}/clips.zip", md5=md5))
    dp.main(dp.parse(["--download", str(tmp_path / "here")]))
    assert f"{len(clips)} clips, 1 actor" in capsys.readouterr().out
    assert inside(tmp_path / "here") == sorted(clips)                   # and the archive is gone
    assert all((tmp_path / "here" / name).read_bytes() == content for name, content in clips.items())
    dp.main(dp.parse(["--download", str(tmp_path / "here")]))
    assert len(asked) == 1 and f"{len(clips)} clips" in capsys.readouterr().out


def test_a_wrong_checksum_is_an_error_and_nothing_is_kept(server, tmp_path):
    address, served, _ = server
    archive(served / "clips.zip", {"Actor_01/a.wav": b"not what was published"})
    with pytest.raises(UserError, match="not the published archive.*deleted"):
        download.fetch(tmp_path / "here", f"{address}/clips.zip", "0" * 32)
    assert inside(tmp_path / "here") == []


def test_a_missing_archive_is_one_line(server, tmp_path, monkeypatch, capsys):
    address, _, _ = server
    monkeypatch.setattr(dp.download, "fetch", functools.partial(download.fetch, source=f"{address}/clips.zip"))
    with pytest.raises(SystemExit) as stop:
        run_command("data_preprocessing.py", dp.main, dp.parse(["--download", str(tmp_path / "here")]))
    printed = capsys.readouterr().err
    assert stop.value.code == 2 and "the download failed" in printed and len(printed.splitlines()) == 1


def test_a_broken_zip_is_named(server, tmp_path):
    address, served, _ = server
    archive(served / "clips.zip", {"Actor_01/a.wav": bytes(1000)})
    broken = (served / "clips.zip").read_bytes()[:-40]
    (served / "clips.zip").write_bytes(broken)
    with pytest.raises(UserError, match="broken zip"):
        download.fetch(tmp_path / "here", f"{address}/clips.zip", hashlib.md5(broken).hexdigest())


def test_a_damaged_member_is_noticed(tmp_path):
    content = b"sound" * 100
    archive(tmp_path / "clips.zip", {"Actor_01/a.wav": content})
    damaged = (tmp_path / "clips.zip").read_bytes().replace(content, b"noise" * 100)
    (tmp_path / "clips.zip").write_bytes(damaged)
    with pytest.raises(UserError, match="broken zip"):
        download.unpack(tmp_path / "clips.zip", tmp_path / "here")
    assert inside(tmp_path / "here") == []


@pytest.mark.parametrize("name", ["../evil.wav", "/evil.wav", "a/../../evil.wav", "..\\evil.wav", "C:\\evil.wav"])
def test_a_member_that_would_land_elsewhere_stops_it_before_the_first(name, tmp_path):
    archive(tmp_path / "hostile.zip", {"Actor_01/good.wav": b"good", name: b"evil"})
    with pytest.raises(UserError, match="refused.*outside"):
        download.unpack(tmp_path / "hostile.zip", tmp_path / "here")
    assert inside(tmp_path) == ["hostile.zip"]


def test_an_archive_that_grows_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "LARGEST", 1000)
    archive(tmp_path / "bomb.zip", {"Actor_01/a.wav": bytes(1001)})
    with pytest.raises(UserError, match="refused.*more than"):
        download.unpack(tmp_path / "bomb.zip", tmp_path / "here")


def test_unpacking_goes_on_where_it_was(tmp_path):
    archive(tmp_path / "clips.zip", {"Actor_01/a.wav": b"aaaa", "Actor_01/b.wav": b"bbbb"})
    here = tmp_path / "here/Actor_01"
    here.mkdir(parents=True)
    (here / "a.wav").write_bytes(b"aaaa")
    (here / "b.wav").write_bytes(b"bb")                     # cut off
    before = (here / "a.wav").stat().st_mtime_ns
    download.unpack(tmp_path / "clips.zip", tmp_path / "here")
    assert (here / "b.wav").read_bytes() == b"bbbb" and (here / "a.wav").stat().st_mtime_ns == before


def spoilt(path, kind):
    """A zip file with one member that cannot be unpacked."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("Actor_01/a.wav", b"sound" * 1000)
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    if kind == "encrypted":
        content[6], content[central + 8] = 1, 1
    if kind == "unknown method":
        content[8:10] = content[central + 10:central + 12] = (77).to_bytes(2, "little")
    if kind == "corrupt":
        content[50:60] = bytes(range(10))
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["encrypted", "unknown method", "corrupt"])
def test_what_cannot_be_unpacked_is_one_line_and_leaves_nothing(kind, tmp_path):
    spoilt(tmp_path / "a.zip", kind)
    with pytest.raises(UserError, match=r"a\.zip: a broken zip file \([^\n]*\); delete it and try again"):
        download.unpack(tmp_path / "a.zip", tmp_path / "here")
    assert inside(tmp_path / "here") == []


def test_a_member_larger_than_any_clip_is_refused_before_anything_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "LARGEST_MEMBER", 1000)
    archive(tmp_path / "bomb.zip", {"Actor_01/a.wav": b"good", "Actor_01/b.wav": bytes(1001)})
    with pytest.raises(UserError, match="refused, since 'Actor_01/b.wav' has"):
        download.unpack(tmp_path / "bomb.zip", tmp_path / "here")
    assert inside(tmp_path) == ["bomb.zip"]
