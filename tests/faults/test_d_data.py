"""Kind D: files that come from elsewhere.

Promise: no data file is used, and none is parsed without a bound, before the table of sources has verified
it, whatever a data record, a server, a package or a mirror folder says; what fails is one line, and the next
place is tried.
"""

import bz2
import errno
import gzip
import io
import json
import pickle
import struct
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

import loopback
import toy_data
from elbogap import cli, untrusted
from elbogap.data import downloads, fetch, formats, loaders, records, sources
from elbogap.data.sources import Content, File, Package, Source, WrongContent
from elbogap.errors import UserError
from hostile import Payload
from loopback import Answer, Server
from toy_data import AddTool, Define, sha

GOOD = b"the right bytes" * 100
cache, mirror, toy, only_toy = toy_data.cache, toy_data.mirror, toy_data.toy, toy_data.only_toy
tools, server = toy_data.tools, loopback.server


# ---------------------------------------------------------------------------------------------- data records


@pytest.fixture
def attack(tmp_path: Path) -> tuple[bytes, Path]:
    """A gzipped pickle with a payload, and the folder that the payload makes."""
    made = tmp_path / "made by the payload"
    content = pickle.dumps(Payload(made))
    pickle.loads(content)
    assert made.is_dir(), "the attack works"
    made.rmdir()
    return gzip.compress(content), made


def write_record(folder: Path, **values: Any) -> Path:
    path = folder / f"{values['dataset']}.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def refused(record: Path) -> str:
    """The one line with which a record is refused."""
    with pytest.raises(UserError) as raised:
        loaders.load(record)
    line = str(raised.value)
    assert "\n" not in line
    assert len(line) < 700
    return line


@pytest.mark.parametrize("place", ["absolute", "parent", "cache", "derived"])
def test_a_record_made_by_hand_runs_no_code(
    place: str, attack: tuple[bytes, Path], cache: Path, tmp_path: Path
) -> None:
    content, made = attack
    names = {"absolute": str(tmp_path / "evil.gz"), "parent": "../evil.gz"}
    name = names.get(place, "mnist.pkl.gz")
    (cache / name).write_bytes(content)
    record: dict[str, Any] = {"dataset": "mnist", "kind": "real", "variant": "pickle"}
    if place == "derived":
        (derived, _) = sources.SOURCES["binarized_mnist"].stand_ins
        parameters = derived.parameters | {"variant": "pickle"}
        record = {"dataset": "binarized_mnist", "kind": "stand-in", "variant": "derived from mnist"}
        record["stand_in"] = parameters
    record["files"] = [{"name": name, "sha256": sha(content)}]
    line = refused(write_record(tmp_path, **record))
    assert "table of sources" in line
    assert not made.exists()


def test_a_pickle_gets_arrays_and_nothing_else(attack: tuple[bytes, Path], tmp_path: Path) -> None:
    content, made = attack
    path = tmp_path / "mnist.pkl.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"asks for (posix|nt)\.mkdir"):
        formats.mnist_pickle(path)
    assert not made.exists()


REAL: dict[str, Any] = {
    "dataset": "toy",
    "kind": "real",
    "variant": "canonical",
    "files": [{"name": "file", "sha256": sha(GOOD)}],
}
STAND_IN = {
    "dataset": "hapt", "kind": "stand-in", "variant": "synthetic", "files": [], "state": "settled",
    "stand_in": sources.SOURCES["hapt"].stand_ins[-1].parameters,
}  # fmt: skip


def real(**changes: Any) -> bytes:
    return json.dumps(REAL | changes).encode()


DAMAGED = {
    "empty": b"",
    "zeros": bytes(1000),
    "not text": b"\x80\xff\xfe",
    "cut": real()[:50],
    "a list": b"[]",
    "a number of too many digits": b"1" * 10_000,
    "brackets": b"[" * 200_000,
    "larger than any record": b" " * 2**21 + real(),
    "no files": json.dumps({"dataset": "toy", "kind": "real", "variant": "canonical"}).encode(),
    "unknown data set": real(dataset="mnsit"),
    "a list of data sets": real(dataset=["toy"]),
    "unknown kind": real(kind="unreal"),
    "unknown variant": real(variant="other"),
    "files that are text": real(files="file"),
    "too few files": real(files=[]),
    "a file twice": real(files=REAL["files"] * 2),
    "another digest": real(files=[{"name": "file", "sha256": "0" * 64}]),
    "stand-in of nothing": real(kind="stand-in", variant="derived from nothing"),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_is_one_line_and_made_again_once(
    content: bytes, toy: Define, cache: Path, tmp_path: Path
) -> None:
    toy(File("file", sha256=sha(GOOD)))
    (cache / "file").write_bytes(GOOD)
    path = tmp_path / "toy.json"
    path.write_bytes(content)
    assert "rebuild it" in refused(path)
    state = records.record_state(path, "toy")
    assert state not in ("settled", "retry"), "another parameter makes the rule run"
    assert records.record_state(path, "toy") == state
    path.write_text(json.dumps(records.make("toy", "never", state)), encoding="utf-8")
    assert records.record_state(path, "toy") == state, "and not again"


def test_the_record_of_another_data_set_is_made_again(tmp_path: Path) -> None:
    path = write_record(tmp_path, **STAND_IN)
    assert records.record_state(path, "hapt") == "settled"
    assert records.record_state(path, "mnist").startswith("damaged-")


@pytest.mark.parametrize("name", sources.SOURCES)
def test_every_record_of_ours_is_believed(name: str, tmp_path: Path) -> None:
    record = records.make(name, "always", "a state")
    path = write_record(tmp_path, **record)
    assert records.record_state(path, name) == "a state"
    assert loaders.load(path).record == record


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": "no such recipe"},
        {"recipe": "topics"},
        {"train": 10**12},
        {"train": -1},
        {"train": "many"},
        {"more": 1},
    ],
    ids=str,
)
def test_unknown_or_absurd_stand_ins_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    parameters = sources.SOURCES["hapt"].stand_ins[-1].parameters | change
    assert "no such stand-in" in refused(write_record(tmp_path, **STAND_IN | {"stand_in": parameters}))


def test_a_file_known_by_content_is_verified_again_whatever_the_record_says(
    toy: Define, cache: Path, tmp_path: Path
) -> None:
    toy(File("file.gz", content=Content("gunzipped bytes", sha(GOOD), len(GOOD))))
    packed, foreign = gzip.compress(GOOD, 1), gzip.compress(b"foreign")
    for content in (packed, foreign):
        (cache / "file.gz").write_bytes(content)
        record = REAL | {"files": [{"name": "file.gz", "sha256": sha(content)}]}
        path = write_record(tmp_path, **record)
        if content == packed:
            assert loaders.load(path).arrays["bytes"] == packed
        else:
            assert f"gunzipped bytes expected {sha(GOOD)}" in refused(path)


# -------------------------------------------------------------------------------------------------- archives


def as_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def as_tgz(path: Path, members: dict[str, bytes]) -> None:
    path.write_bytes(gzip.compress(as_tar(members)))


def as_tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def hapt_members(**changes: bytes) -> dict[str, bytes]:
    text = {"X": b" ".join([b"0.5"] * 561), "y": b"5", "subject_id": b"1"} | changes
    return {f"{stem}_{split}.txt": content for stem, content in text.items() for split in ("train", "test")}


def news_members(**changes: bytes) -> dict[str, bytes]:
    text = {"data": b"1 1 1\n", "label": b"1\n"} | changes
    return {f"{split}.{kind}": content for kind, content in text.items() for split in ("train", "test")}


def encrypted(path: Path) -> None:
    """A zip archive whose members are marked as encrypted."""
    as_zip(path, hapt_members())
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(signature)
        while start >= 0:
            content[start + offset] |= 1
            start = content.find(signature, start + 1)
    path.write_bytes(content)


def of_unknown_method(path: Path) -> None:
    as_zip(path, hapt_members())
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = content.find(signature)
        while start >= 0:
            content[start + offset : start + offset + 2] = struct.pack("<H", 99)
            start = content.find(signature, start + 1)
    path.write_bytes(content)


def sparse(path: Path) -> None:
    """A tar archive whose member says that it is a terabyte of holes."""
    member = tarfile.TarInfo("train.label")
    member.pax_headers = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(2**40),
        "GNU.sparse.name": "train.label",
    }  # fmt: skip
    block = b"0\n".ljust(512, b"\0")
    member.size = len(block)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(block))
        for name, content in news_members().items():
            if name != "train.label":
                other = tarfile.TarInfo(name)
                other.size = len(content)
                archive.addfile(other, io.BytesIO(content))
    path.write_bytes(gzip.compress(file.getvalue()))


ZIP, TGZ, GZ = (
    "labels and subjects (no digest of the features is known)", "documents in any order", "gunzipped bytes",
)  # fmt: skip
MOST = 100_000
HOSTILE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "encrypted zip": (ZIP, encrypted),
    "unknown method": (ZIP, of_unknown_method),
    "bzip2 zip": (ZIP, lambda path: as_zip(path, hapt_members(), zipfile.ZIP_BZIP2)),
    "zip bomb": (ZIP, lambda path: as_zip(path, hapt_members(X=b"1 " * 10**7))),
    "a word for a number": (ZIP, lambda path: as_zip(path, hapt_members(y=b"five"))),
    "more features than rows": (ZIP, lambda path: as_zip(path, hapt_members(X=b"1 " * 1000))),
    "features that are no numbers": (ZIP, lambda path: as_zip(path, hapt_members(X=b"nan " * 561))),
    "no members": (ZIP, lambda path: as_zip(path, {})),
    "24 digits": (TGZ, lambda path: as_tgz(path, news_members(label=b"9" * 24))),
    "10,000 digits": (TGZ, lambda path: as_tgz(path, news_members(label=b"9" * 10_000))),
    "document 10^15": (TGZ, lambda path: as_tgz(path, news_members(data=b"1000000000000000 1 1\n"))),
    "document -5": (TGZ, lambda path: as_tgz(path, news_members(data=b"-5 1 1\n"))),
    "a pair": (TGZ, lambda path: as_tgz(path, news_members(data=b"1 1\n"))),
    "a terabyte of holes": (TGZ, sparse),
    "tar bomb": (TGZ, lambda path: as_tgz(path, news_members(other=bytes(2 * 10**7)))),
    "gzip bomb": (GZ, lambda path: path.write_bytes(gzip.compress(bytes(5 * 10**7), 1))),
    "bzip2 for gzip": (GZ, lambda path: path.write_bytes(bz2.compress(bytes(1000)))),
}  # fmt: skip


@pytest.mark.parametrize(("reader", "make"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_wrong_content_and_the_search_goes_on(
    reader: str, make: Callable[[Path], None], toy: Define, cache: Path, mirror: Path
) -> None:
    file = File("file", sha256=sha(GOOD), content=Content(reader, sha(GOOD), MOST))
    toy(file)
    make(cache / "file")
    (mirror / "file").write_bytes(GOOD)
    tracemalloc.start()
    with pytest.raises(WrongContent, match=r"got a damaged file \("):
        sources.verify(file, cache / "file")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50 * MOST, "bytes"
    lines: list[str] = []
    assert fetch.obtain("toy", say=lines.append).origin == "mirror"
    (line,) = lines
    assert line.startswith(f"{cache / 'file'}: ")
    assert "\n" not in line
    assert len(line) < 700


def test_the_readers_take_what_they_are_made_for(tmp_path: Path) -> None:
    """The same archives without the attack are read, so each attack is refused for what it is."""
    as_zip(tmp_path / "zip", hapt_members())
    assert formats.hapt_zip(tmp_path / "zip", MOST)["train_x"].shape == (1, 561)
    as_tgz(tmp_path / "tgz", news_members())
    assert formats.newsgroups_tgz(tmp_path / "tgz", MOST)["train"].data.tolist() == [1]


def test_files_known_by_content_are_of_moderate_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "MOST_BYTES", 10)
    (tmp_path / "file").write_bytes(gzip.compress(GOOD))
    with pytest.raises(WrongContent, match="more than 10 bytes"):
        sources.verify(File("file", content=Content(GZ, sha(GOOD), len(GOOD))), tmp_path / "file")


ANYTHING = [
    RuntimeError("File is encrypted"), NotImplementedError("compression type 99"), OverflowError("too large"),
    RecursionError("depth"), KeyError("member"), struct.error("unpack"), EOFError(), AssertionError(),
    zipfile.BadZipFile("no"), tarfile.ReadError("no"), gzip.BadGzipFile("no"), UnicodeError("no"),
]  # fmt: skip


@pytest.mark.parametrize("error", ANYTHING, ids=repr)
def test_whatever_a_parser_raises_is_a_value_error(error: Exception) -> None:
    with pytest.raises(ValueError, match="not a thing"), untrusted.parsing("a thing"):
        raise error


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()], ids=repr)
def test_a_broken_machine_is_no_wrong_content(error: Exception) -> None:
    with pytest.raises(type(error)), untrusted.parsing("a thing"):
        raise error


def test_memory_that_a_file_asks_for_in_vain_is_wrong_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def greedy(path: Path, most: int) -> str:
        raise MemoryError("7 TiB")

    monkeypatch.setattr(formats, "CONTENT", {"greedy": greedy})
    (tmp_path / "file").write_bytes(GOOD)
    with pytest.raises(WrongContent, match="7 TiB"):
        sources.verify(File("file", content=Content("greedy", sha(GOOD), 1)), tmp_path / "file")


@pytest.mark.parametrize("source", sources.SOURCES.values(), ids=lambda source: source.name)
def test_every_content_digest_has_a_limit(source: Source) -> None:
    for variant in source.variants:
        for file in variant.files:
            assert file.content is None or 0 < file.content.most <= sources.MOST_BYTES


# -------------------------------------------------------------------------------------------------- packages

PACKAGES: dict[str, Callable[[Path], None]] = {
    "wheel without the member": lambda path: as_zip(path, {"other": GOOD}),
    "wheel of another method": lambda path: as_zip(path, {"member": GOOD}, zipfile.ZIP_LZMA),
    "wheel with a bomb": lambda path: as_zip(path, {"member": bytes(10**7)}),
    "no wheel": lambda path: path.write_bytes(b"<html>"),
    "package without the member": lambda path: path.write_bytes(as_tar({"other": GOOD})),
    "package with a bomb": lambda path: path.write_bytes(as_tar({"member": bytes(10**6)})),
    "no package": lambda path: path.write_bytes(b"<html>"),
}


@pytest.mark.parametrize("kind", [*PACKAGES, "package with a link"])
def test_a_hostile_package_is_one_reason_among_those_tried(
    kind: str, toy: Define, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MOST_BYTES", MOST)

    def call(command: list[str], folder: Path, hint: str = "", output: Path | None = None) -> None:
        path = output or folder / "tiny-1.0-py3-none-any.whl"
        if kind in PACKAGES:
            PACKAGES[kind](path)
            return
        link = tarfile.TarInfo("./member")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        with tarfile.open(path, "w") as archive:
            archive.addfile(link)

    (tmp_path / "secret").write_bytes(GOOD)
    monkeypatch.setattr(downloads, "_call", call)
    package = Package("Debian package" if "package" in kind else "wheel", "tiny", "member")
    toy(File("file", sha256=sha(GOOD), package=package))
    with pytest.raises(fetch.NotServed, match=f"{package}: no readable member in it: ") as raised:
        fetch.obtain("toy", say=fetch.ignore)
    assert "\n" not in str(raised.value)


def test_package_tools_write_no_endless_files(
    toy: Define, tools: AddTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MOST_BYTES", MOST)
    tools("apt-get", 'touch "$2.deb"')
    tools("dpkg-deb", "exec cat /dev/zero")
    toy(File("file", sha256=sha(GOOD), package=Package("Debian package", "tiny", "member")))
    with pytest.raises(fetch.NotServed, match="Debian package tiny: dpkg-deb: "):
        fetch.obtain("toy", say=fetch.ignore)


# --------------------------------------------------------------------------------------------------- servers


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
    try:
        while True:
            handler.wfile.write(bytes(10_000))
    except OSError:
        pass  # the client has gone


def bomb(handler: BaseHTTPRequestHandler) -> None:
    content = gzip.compress(bytes(10**7))
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + content)


SAYINGS: dict[str, Answer] = {
    "endless": endless,
    "bomb": bomb,
    "redirect to nonsense": lambda handler: handler.wfile.write(
        b"HTTP/1.0 302 Found\r\nLocation: http://\xff\xfe/\x80\r\n\r\n"
    ),
    "redirect to a file": lambda handler: handler.wfile.write(
        b"HTTP/1.0 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"
    ),
    "a length in words": lambda handler: handler.wfile.write(
        b"HTTP/1.0 200 OK\r\nContent-Length: many\r\n\r\n" + GOOD[:100]
    ),
    "no HTTP": lambda handler: handler.wfile.write(b"\x80" * 1000),
    "a long header": lambda handler: handler.wfile.write(b"HTTP/1.0 200 OK\r\nX: " + b"x" * 10**6),
}


@pytest.mark.parametrize("saying", SAYINGS)
def test_a_hostile_server_is_one_line_and_the_next_address_is_tried(
    saying: str, server: Server, toy: Define, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MOST_BYTES", MOST)
    bad, good = server.serve("/bad", SAYINGS[saying]), server.serve("/good", GOOD)
    good = good.replace("127.0.0.1", "localhost")
    toy(File("file", sha256=sha(GOOD), addresses=(bad, good)))
    started = time.monotonic()
    assert fetch.obtain("toy", say=fetch.ignore).origin == good
    assert time.monotonic() - started < 8
    assert [path.name for path in cache.iterdir()] == ["file"]


def test_fetching_goes_on_behind_a_data_set_that_cannot_be_stored(
    only_toy: Define, cache: Path, mirror: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("first", "second"):
        only_toy(File(name, sha256=sha(GOOD)), name=name)
        (mirror / name).write_bytes(GOOD)
    (cache / "first").mkdir()
    assert cli.main(["data", "fetch"]) == 0
    said = capsys.readouterr()
    assert "second: from mirror (canonical), verified by sha256\n" in said.out
    assert f"{cache / 'first'}: is no file; remove it" in said.err
    assert (cache / "second").read_bytes() == GOOD
    assert cli.main(["data", "status"]) == 0


# ----------------------------------------------------------------------------------------------------- links


def test_a_link_at_a_temporary_name_is_not_written_through(toy: Define, cache: Path, mirror: Path) -> None:
    toy(File("file.gz", sha256=sha(GOOD)))
    (mirror / "file.gz").write_bytes(GOOD)
    victim = cache.parent / "victim"
    victim.write_text("precious", encoding="utf-8")
    (cache / ".file.partial.gz").symlink_to(victim)
    assert fetch.obtain("toy").files[0].path.read_bytes() == GOOD
    assert victim.read_text(encoding="utf-8") == "precious"
    assert not (cache / "file.gz").is_symlink()


def test_a_link_at_the_name_itself_is_replaced_not_its_target(toy: Define, cache: Path, mirror: Path) -> None:
    toy(File("file", sha256=sha(GOOD)))
    (mirror / "file").write_bytes(GOOD)
    victim = cache.parent / "victim"
    victim.write_text("precious", encoding="utf-8")
    (cache / "file").symlink_to(victim)
    fetch.obtain("toy", say=fetch.ignore)
    assert (cache / "file").read_bytes() == GOOD
    assert victim.read_text(encoding="utf-8") == "precious"
