"""Archives: what is unpacked, and all that is refused, of which nothing is left."""

import io
import os
import stat
import struct
import tarfile
import zipfile

import pytest

from l2o.service.server.jobs.archives import ArchiveError, Bounds, unpack

IMAGE = os.urandom(3000)


def zipped(path, entries):
    """Write a zip: name -> bytes, or (bytes, mode)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            content, mode = content if isinstance(content, tuple) else (content, 0)
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def tarred(path, entries, mode="w"):
    """Write a tar: name -> bytes, or a TarInfo's fields."""
    with tarfile.open(path, mode) as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                for field, value in content.items():
                    setattr(info, field, value)
                archive.addfile(info)
    return path


def read(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


FILES = {"cats/a.png": IMAGE, "dogs/b.png": IMAGE[:10], "labels.csv": b"a,b\n"}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2"])
def test_what_is_packed_is_unpacked(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        zipped(path, {"cats/": b"", **FILES})
    else:
        tarred(path, FILES, f"w:{kind.partition('.')[2]}")
    assert unpack(path, tmp_path / "out") == 3
    assert read(tmp_path / "out") == FILES
    modes = {stat.S_IMODE(p.stat().st_mode) & 0o111 for p in (tmp_path / "out").rglob("*.png")}
    assert modes == {0}, "nothing that could be executed"


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "..", "a\\..\\..\\x", "C:/x"])
@pytest.mark.parametrize("make", [zipped, tarred])
def test_names_that_lead_out(tmp_path, make, name):
    refused(make(tmp_path / "x", {"good.png": IMAGE, name: b"x"}), "leads out")
    assert not (tmp_path.parent / "x").exists()


@pytest.mark.parametrize("name", ["a\nb", "x" * 300, "d/" * 600 + "x"])
def test_names_that_are_none(tmp_path, name):
    refused(zipped(tmp_path / "x", {name: b"x"}), "no name for a file|leads out|damaged|unpacked")


def test_a_name_with_a_null_is_not_cut_there(tmp_path):
    path = zipped(tmp_path / "x", {"aXb": b"x"})
    path.write_bytes(path.read_bytes().replace(b"aXb", b"a\0b"))
    refused(path, "no name for a file")


@pytest.mark.parametrize(
    "fields",
    [
        {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"type": tarfile.SYMTYPE, "linkname": "good.png"},
        {"type": tarfile.LNKTYPE, "linkname": "good.png"},
        {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5},
        {"type": tarfile.BLKTYPE, "devmajor": 8, "devminor": 0},
        {"type": tarfile.FIFOTYPE},
        {"type": tarfile.CONTTYPE},
    ],
    ids=["link", "inner link", "hard link", "character device", "block device", "fifo", "other"],
)
def test_links_and_devices_in_a_tar(tmp_path, fields):
    if fields["type"] == tarfile.CONTTYPE:  # a plain file by another name: taken as one
        assert unpack(tarred(tmp_path / "x", {"a": IMAGE, "b": fields}), tmp_path / "out") == 2
        return
    refused(tarred(tmp_path / "x", {"good.png": IMAGE, "bad": fields}), "link, a device")


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK]
)
def test_links_and_devices_in_a_zip(tmp_path, kind):
    entries = {"good.png": IMAGE, "bad": (b"/etc/passwd", kind | 0o777)}
    refused(zipped(tmp_path / "x", entries), "link or a device")


@pytest.mark.parametrize("make", [zipped, lambda path, files: tarred(path, files, "w:gz")])
def test_bombs(tmp_path, make):
    bounds = Bounds(free_bytes=1 << 20)
    refused(make(tmp_path / "x", {"a": bytes(64 << 20)}), "unpacks to more", bounds)


def test_a_bomb_that_lies_about_its_size(tmp_path):
    path = zipped(tmp_path / "x", {"a": bytes(8 << 20)})
    content = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = content.index(signature) + at
        content[place : place + 4] = struct.pack("<I", 1000)
    path.write_bytes(content)
    refused(path, "unpacks to more|cannot be unpacked", Bounds(free_bytes=1 << 20))


def test_overlapping_entries(tmp_path):
    path = zipped(tmp_path / "x", {"a": IMAGE, "b": IMAGE})
    content = bytearray(path.read_bytes())
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    content[second + 42 : second + 46] = struct.pack("<I", 0)
    path.write_bytes(content)
    refused(path, "cannot be unpacked")


def test_too_many_entries(tmp_path):
    path = zipped(tmp_path / "x", {str(number): b"" for number in range(30)})
    refused(path, "more than 20 entries", Bounds(files=20))


def test_a_list_of_entries_that_is_too_large(tmp_path):
    path = zipped(tmp_path / "x", {f"{'n' * 200}{number}": b"" for number in range(30)})
    refused(path, "list of entries or a header is too large", Bounds(listing=4000))


def test_a_header_that_claims_gigabytes(tmp_path):
    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 3 << 30
    (tmp_path / "x").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(5000))
    refused(tmp_path / "x", "too large|cannot be unpacked|no files", Bounds(listing=2000))


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_full_disk(tmp_path, make):
    refused(make(tmp_path / "x", FILES), "does not fit on the disk", Bounds(disk=1 << 60))


def test_the_same_name_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("./a", b"2")
    refused(tmp_path / "x", "stands twice")
    refused(zipped(tmp_path / "y", {"a": b"1", "a/b": b"2"}), "below a file")


def test_encrypted_and_oddly_packed(tmp_path):
    path = zipped(tmp_path / "x", {"a": b"1"})
    content = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + at] |= 1
    path.write_bytes(content)
    refused(path, "encrypted")
    with zipfile.ZipFile(tmp_path / "y", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"1")
    refused(tmp_path / "y", "method other than")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut", b"\x1f\x8b\x08cut"])
def test_what_is_no_archive(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    refused(tmp_path / "x", "cannot be unpacked|no files")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar"])
def test_archives_that_are_cut_off(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        zipped(path, FILES)
    else:
        tarred(path, FILES, f"w:{kind.partition('.')[2]}")
    path.write_bytes(path.read_bytes()[:-2000] if kind != "tar" else path.read_bytes()[:2000])
    refused(path, "cannot be unpacked")


def refused(path, message, bounds=None):
    """The archive is refused with this message, and nothing of it is left."""
    out = path.parent / "out"
    before = set(path.parent.iterdir())
    with pytest.raises(ArchiveError, match=message):
        unpack(path, out, bounds)
    assert set(path.parent.iterdir()) == before
