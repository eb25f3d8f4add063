"""The command line: settings in, tables and provenance out, mistakes in one line."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

import forked
from elbogap import cli, modules, profiling
from published import write_result

SOURCE = Path(__file__).parents[1] / "src"


def elbogap(
    *words: str, cwd: Path, source: Path = SOURCE, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "elbogap", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(source), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


FIGURES = '''
    """Figures of document toy."""

    import importlib

    import pandas as pd
    from matplotlib.figure import Figure


    def fig01_good(table: pd.DataFrame) -> Figure:
        figure = Figure(figsize=(1, 1))
        figure.subplots().plot(table["value"])
        return figure


    def fig02_hidden(table: pd.DataFrame) -> Figure:
        importlib.import_module("elbogap." + "data.synthetic")
        return fig01_good(table)
'''


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with one more document, `toy`, of small experiments."""
    source = tmp_path_factory.mktemp("toy") / "src"
    package = source / "elbogap"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "papers/toy/experiments").mkdir(parents=True)
    head = """
        import importlib
        import pandas as pd
        from elbogap.config.base import Section, setting
        from elbogap.runtime import Run, numpy_generator

        class Settings(Section):
            seed: int = setting("Seed.", ge=0)
            draws: int = setting("Number of draws.", ge=1)
    """
    bodies = {
        "draw": """
            def run(settings, run):
                values = numpy_generator(settings.seed, "toy").random(settings.draws)
                return {"table": pd.DataFrame({"key": run.keys.get("problem", "none"), "value": values})}
        """,
        "hidden": """
            def run(settings, run):
                importlib.import_module("elbogap." + "densities")
                return {"table": pd.DataFrame({"value": [1]})}
        """,
        "long": """
            import torch
            from elbogap.training import Work, train

            def run(settings, run):
                layer = torch.nn.Linear(1, 1)

                def step(i):
                    with torch.no_grad():
                        layer.weight.fill_(i)
                    return torch.tensor(float(i))

                values = train(
                    step, steps=settings.draws, record_every=2, parts={"layer": layer},
                    work=Work.of(run, "long", "", 1e9),
                )
                return {"table": pd.DataFrame({"weight": layer.weight.item(), "value": values})}
        """,
        "full_disk": """
            import resource
            import torch
            from elbogap.training import Work, train

            def run(settings, run):
                if settings.draws == 3:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
                layer = torch.nn.Linear(100, 1)
                work = Work.of(run, "long", "", 0)
                train(lambda i: torch.tensor(1.0), steps=3, record_every=1, parts={"layer": layer}, work=work)
                return {"table": pd.DataFrame({"value": range(5000)})}
        """,
        "full_disk_at_the_end": """
            import resource

            def run(settings, run):
                resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
                return {"table": pd.DataFrame({"value": range(50000)})}
        """,
        "no_memory": """
            def run(settings, run):
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory\\nmore")
        """,
        "lost_gpu": """
            def run(settings, run):
                raise RuntimeError("CUDA error: unspecified launch failure\\nCompile with TORCH_USE_CUDA_DSA")
        """,
        "wrong": """
            def run(settings, run):
                raise RuntimeError("shapes do not match")
        """,
        "interrupted": """
            def run(settings, run):
                raise KeyboardInterrupt
        """,
    }
    (package / "papers/toy/figures.py").write_text(textwrap.dedent(FIGURES), encoding="utf-8")
    for init in ("__init__.py", "experiments/__init__.py"):
        (package / "papers/toy" / init).write_text('"""Toy."""\n', encoding="utf-8")
    for name, body in bodies.items():
        text = f'"""Experiment {name}."""\n' + textwrap.dedent(head) + textwrap.dedent(body)
        (package / f"papers/toy/experiments/{name}.py").write_text(text, encoding="utf-8")
    return source


@pytest.fixture
def tree(toy: Path, tmp_path: Path) -> Path:
    """The copy, seen in a folder where nothing has been made."""
    source = tmp_path / "src"
    source.symlink_to(toy)
    return source


@pytest.fixture(scope="module")
def warm_toy(toy: Path) -> Iterator[dict[str, str]]:
    """The environment of commands that need not import torch anew."""
    with forked.server(PYTHONPATH=str(toy)) as (_, environment):
        yield environment


SETTINGS = '{"seed": 1, "draws": 3}'


def run_toy(
    tree: Path,
    name: str,
    settings: str = SETTINGS,
    output: str = "table=out/t.csv",
    more: Sequence[str] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    return elbogap(
        f"toy.{name}", "--scale", "smoke", "--settings", settings, "--keys", "problem=p",
        "--outputs", output, *more,
        cwd=tree.parent, source=tree, **environment,
    )  # fmt: skip


def test_an_experiment_writes_its_table_and_provenance(tree: Path) -> None:
    answer = run_toy(tree, "draw")
    assert answer.returncode == 0, answer.stderr
    assert (tree.parent / "out/t.csv").read_text(encoding="utf-8").startswith("key,value\np,")
    record = json.loads((tree.parent / "out/t.csv.provenance.json").read_text(encoding="utf-8"))
    assert record["settings"] == {"seed": 1, "draws": 3}
    assert record["seeds"] == {"seed": 1}
    assert record["scale"] == "smoke"
    assert record["run"]["threads"] == 1
    assert record["run"]["wall_s"] >= 0
    assert record["run"]["peak_memory_mib"] > 1
    assert {"numpy", "pandas"} <= set(record["versions"])
    assert record["git"] == {"commit": None, "dirty": None, "why": "not a git repository"}
    shown = elbogap("provenance", "out/t.csv", cwd=tree.parent, source=tree)
    assert json.loads(shown.stdout) == record


def test_the_same_command_gives_the_same_bytes(tree: Path) -> None:
    run_toy(tree, "draw")
    first = (tree.parent / "out/t.csv").read_bytes()
    run_toy(tree, "draw")
    assert (tree.parent / "out/t.csv").read_bytes() == first


@pytest.mark.parametrize(
    ("settings", "output", "says"),
    [
        ('{"seed": 1, "drawz": 3}', "table=out/t.csv", "drawz"),
        ('{"seed": -1, "draws": 3}', "table=out/t.csv", "seed"),
        ('{"seed": 1', "table=out/t.csv", "--settings: not valid JSON"),
        (SETTINGS, "other=out/t.csv", "makes ['table']"),
        (SETTINGS, "out/t.csv", "NAME=VALUE"),
        (SETTINGS, "table=out/t.parquet", "do not know how to write"),
    ],
)
def test_mistakes_are_one_line(tree: Path, settings: str, output: str, says: str) -> None:
    answer = run_toy(tree, "draw", settings, output)
    assert answer.returncode == 2
    assert says in answer.stderr
    assert len([line for line in answer.stderr.splitlines() if "no commit" not in line]) == 1
    assert not (tree.parent / "out/t.csv").exists()


def test_an_undeclared_import_is_refused(tree: Path) -> None:
    answer = run_toy(tree, "hidden")
    assert answer.returncode == 2
    assert "elbogap.densities" in answer.stderr
    assert "import" in answer.stderr


@pytest.mark.parametrize("name", ["fig01_good", "fig02_hidden"])
def test_a_figure_may_not_hide_an_import_either(tree: Path, name: str) -> None:
    write_result(tree.parent / "t.csv", "value\n1\n2\n")
    words = ["figure", f"toy.{name}", "--scale", "smoke", "--inputs", "table=t.csv", "--outputs", "png=f.png"]
    answer = elbogap(*words, cwd=tree.parent, source=tree)
    if name == "fig01_good":
        assert answer.returncode == 0, answer.stderr
        assert (tree.parent / "f.png").is_file()
    else:
        assert answer.returncode == 2
        assert "elbogap.data.synthetic" in answer.stderr
        assert "without an import statement" in answer.stderr
        assert not (tree.parent / "f.png").exists()


def test_an_interruption_says_how_to_go_on(tree: Path) -> None:
    answer = run_toy(tree, "interrupted")
    assert answer.returncode == 130
    assert "run the same command again" in answer.stderr


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("full_disk", r"long\.pt: cannot be written \(File too large\); free space or mend permissions"),
        ("full_disk_at_the_end", r"t\.csv: cannot be written \(File too large\); free space"),
        ("no_memory", r"out of memory \(.*can't allocate memory\); use smaller chunks, fewer jobs"),
        (
            "lost_gpu",
            r"the GPU failed \(CUDA error: unspecified launch failure\); run the same command again",
        ),
    ],
)
def test_a_failing_machine_is_one_line_and_leaves_nothing_half_written(
    tree: Path, warm_toy: dict[str, str], name: str, says: str
) -> None:
    answer = run_toy(tree, name, environment=warm_toy)
    assert answer.returncode == 2, answer.stderr
    assert re.search(f"elbogap: .*{says}", answer.stderr.splitlines()[-1])
    assert "Traceback" not in answer.stderr
    left = [path for path in (tree.parent / "out").rglob("*") if path.is_file()]
    assert [path.name for path in left if not path.name.endswith(".provenance.json")] == []


def test_a_mistake_of_ours_keeps_its_traceback(tree: Path) -> None:
    answer = run_toy(tree, "wrong")
    assert answer.returncode == 1
    assert "Traceback" in answer.stderr


def test_a_disk_with_room_again_goes_on(tree: Path, warm_toy: dict[str, str]) -> None:
    assert run_toy(tree, "full_disk", environment=warm_toy).returncode == 2
    settings = '{"seed": 1, "draws": 4}'
    assert run_toy(tree, "full_disk", settings, environment=warm_toy).returncode == 0


def test_out_of_time_the_same_command_goes_on(tree: Path, warm_toy: dict[str, str]) -> None:
    """Without time each call makes one of the three steps; a finished training needs none."""
    for _ in range(3):
        answer = run_toy(tree, "long", more=["--time-budget", "0"], environment=warm_toy)
        assert answer.returncode == 75, answer.stderr
        says = "elbogap: time budget spent; run the same command again to go on"
        assert answer.stderr.splitlines()[-1] == says
        assert not (tree.parent / "out/t.csv").exists()
    answer = run_toy(tree, "long", more=["--time-budget", "0"])
    assert answer.returncode == 0, answer.stderr
    assert (tree.parent / "out/t.csv").read_text(encoding="utf-8") == "weight,value\n3.0,1.5\n3.0,3.0\n"
    assert not list((tree.parent / "out").glob(".scratch-*"))


def test_a_profile_measures_and_makes_nothing(tree: Path, warm_toy: dict[str, str]) -> None:
    settings = '{"seed": 1, "draws": 1000000}'
    words = ["--profile", "paces.csv", "--profile-seconds", "0.1", "--time-budget", "0"]
    for _ in range(2):  # the second row takes the place of the first
        answer = run_toy(tree, "long", settings, more=words, environment=warm_toy)
        assert answer.returncode == 0, answer.stderr
    (row,) = profiling.read_paces(tree.parent / "paces.csv")
    assert (row["rule"], row["work"], row["device"], row["threads"]) == (
        "toy_long[problem=p]", "long", "cpu", 1,
    )  # fmt: skip
    assert row["steps_per_s"] > 10
    assert not (tree.parent / "out/t.csv").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--profile", "a.csv"], "no work that is long enough to be timed"),
        (["--profile", "a.json"], "a file that ends in .csv"),
        (["--profile", "other.csv"], "other.csv: not a table of paces"),
        (["--profile", "a.csv", "--profile-seconds", "nan"], "--profile-seconds"),
    ],
)
def test_what_cannot_be_profiled_is_refused(
    tree: Path, warm_toy: dict[str, str], words: list[str], says: str
) -> None:
    (tree.parent / "other.csv").write_text("value\n1\n", encoding="utf-8")
    answer = run_toy(tree, "long", '{"seed": 1, "draws": 1}', more=words, environment=warm_toy)
    assert answer.returncode == 2, answer.stderr
    assert says in answer.stderr.splitlines()[-1]
    assert (tree.parent / "other.csv").read_text(encoding="utf-8") == "value\n1\n"


@pytest.mark.parametrize("budget", ["-1", "nan", "soon"])
def test_a_time_budget_is_a_number_of_seconds(tree: Path, budget: str) -> None:
    answer = run_toy(tree, "draw", more=[f"--time-budget={budget}"])
    assert answer.returncode == 2
    assert "--time-budget" in answer.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["provenance", "nowhere.csv"], "nowhere.csv is missing; build it first"),
        (["config", "nowhere.yaml"], "cannot be read"),
        (
            ["figure", "qiw.fig99_none", "--scale", "smoke", "--outputs", "png=a.png"],
            "no figure 'fig99_none'",
        ),
        (
            ["figure", "none.fig01", "--scale", "smoke", "--outputs", "png=a.png"],
            "no figures of a document 'none'",
        ),
    ],
)
def test_other_mistakes(tmp_path: Path, words: list[str], says: str) -> None:
    answer = elbogap(*words, cwd=tmp_path)
    assert answer.returncode == 2
    assert says in answer.stderr
    assert len([line for line in answer.stderr.splitlines() if "no commit" not in line]) == 1


def test_config_prints_the_values_of_a_scale() -> None:
    answer = elbogap("config", "config/smoke.yaml", cwd=SOURCE.parent)
    assert json.loads(answer.stdout)["stand_ins"] == "always"


def test_every_experiment_module_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    listed = capsys.readouterr().out
    assert modules.experiments()
    assert all(name in listed for name in modules.experiments())
