"""Kind D: files that come from elsewhere, as inputs of a command.

Promise: no file is ever a program. Arrays are read without pickled objects, checkpoints as weights alone, and
the one pickle and the one TorchScript file that a data set has only after they were verified.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from elbogap import cli, tables
from elbogap.digest import SOURCE
from elbogap.errors import UserError
from hostile import Payload


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return tmp_path / "made by the payload"


def test_arrays_of_objects_are_refused(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "attack.npz"
    np.savez(path, density=np.array([Payload(made)], dtype=object))
    with np.load(path, allow_pickle=True) as archive:
        assert archive["density"] is not None
    assert made.is_dir(), "the attack works"
    made.rmdir()
    with pytest.raises(UserError, match="cannot be read as arrays"):
        tables.read_arrays(path)
    assert not made.exists()


def test_a_command_refuses_arrays_of_objects_in_one_line(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "attack.npz"
    np.savez(path, x=np.array([Payload(made)], dtype=object))
    words = ["figure", "qiw.fig01_posterior_2d", "--scale", "smoke", "--inputs", f"density={path}"]
    assert cli.main([*words, "--outputs", f"pdf={tmp_path / 'figure.pdf'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert not made.exists()


def test_a_checkpoint_is_weights_alone(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "attack.pt"
    torch.save({"done": Payload(made)}, path)
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(path, weights_only=True)
    assert not made.exists()


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Every call in the package: its file, the name that is called, and the call."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path.relative_to(SOURCE).as_posix(), ast.unparse(node.func), node


def test_every_reader_of_programs_is_bridled() -> None:
    seen = set()
    for file, name, call in calls():
        options = {one.arg: ast.unparse(one.value) for one in call.keywords}
        if name == "torch.load":
            assert options.get("weights_only") == "True", file
        if name in ("np.load", "numpy.load"):
            assert options.get("allow_pickle", "False") == "False", file
        if name in ("yaml.load", "yaml.load_all"):
            assert ast.unparse(call.args[1]) == "_Loader", file
        seen |= {name} if name in ("torch.load", "np.load", "yaml.load") else set()
        assert name not in ("eval", "exec", "pd.read_pickle", "joblib.load", "yaml.unsafe_load"), file
        assert options.get("shell", "False") == "False", file
    assert seen == {"torch.load", "np.load", "yaml.load"}, "the test looks at what there is"


def test_pickles_and_torchscript_are_read_in_one_place_each() -> None:
    readers = {
        (name, file) for file, name, _ in calls() if name.startswith("pickle.") or name == "torch.jit.load"
    }
    assert readers == {
        ("pickle.UnpicklingError", "data/formats.py"),
        ("torch.jit.load", "evaluation/fid.py"),
    }
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "import pickle" in path.read_text(encoding="utf-8")
    }
    assert found == {"data/formats.py"}
