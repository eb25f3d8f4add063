"""What makes a file the right one: its bytes, its git blob, or its content."""

import gzip
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbogap.data.sources import Content, File, WrongContent, git_blob, verify
from toy_data import sha


def test_git_blob_is_git_s(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"some\0bytes\n")
    said = subprocess.run(
        ["git", "hash-object", str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert git_blob(path) == said.strip()


def test_known_by_any_stated_digest(tmp_path: Path) -> None:
    content = b"what it says"
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(content))
    inner = Content("gunzipped bytes", sha(content), len(content))
    assert verify(File("f", sha256=sha(path.read_bytes())), path) == "sha256"
    assert verify(File("f", sha256="0" * 64, git_blob=git_blob(path)), path) == "git blob"
    assert verify(File("f", sha256="0" * 64, content=inner), path) == "gunzipped bytes"


def test_wrong_content_names_expected_and_got(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(b"not gzip")
    got = sha(b"not gzip")
    file = File("f", sha256="0" * 64, content=Content("gunzipped bytes", "1" * 64, 100))
    with pytest.raises(
        WrongContent, match=f"expected {'0' * 64}, got {got}.*expected {'1' * 64}, got a damaged"
    ):
        verify(file, path)


def test_a_file_without_any_digest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"anything")
    with pytest.raises(WrongContent, match="unverified"):
        verify(File("f"), path)


@given(content=st.binary(min_size=1, max_size=200), where=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, where: int, bit: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped"
    flipped = bytearray(content)
    flipped[where % len(content)] ^= 1 << bit
    path.write_bytes(flipped)
    with pytest.raises(WrongContent):
        verify(File("f", sha256=sha(content), git_blob="0" * 40), path)
