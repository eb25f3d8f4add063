"""Scale files: complete, typed, explained, and strict about keys."""

import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from config_fields import fields
from elbogap.config.scale import scale_names
from elbogap.config.yaml_file import read_yaml
from elbogap.errors import UserError
from elbogap.scales import Config, load, section

CONFIG = Path(__file__).parents[1] / "config"
SOURCES = ("doc:", "code:", "guess:", "ours:")
FIELDS = {name: field for name, field, _ in fields()}


def test_the_three_scales_exist_and_load() -> None:
    assert {"smoke", "laptop", "paper"} <= set(scale_names(CONFIG))
    for scale in scale_names(CONFIG):
        load(CONFIG / f"{scale}.yaml")


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_described_and_required(name: str) -> None:
    field = FIELDS[name]
    assert field.description, name
    assert field.is_required(), f"{name}: values stand in the scale files, not in the code"


def numbers(schema: typing.Any, where: str = "") -> Iterator[tuple[str, dict]]:
    """The schema of each number in a JSON schema, those in lists and mappings too."""
    if isinstance(schema, list):
        schema = dict(enumerate(schema))
    if isinstance(schema, dict):
        if schema.get("type") in ("integer", "number") and "enum" not in schema:
            yield where, schema
        for name, part in schema.items():
            yield from numbers(part, f"{where}.{name}")


NUMBERS = dict(numbers(Config.model_json_schema()["$defs"]))


def test_numbers_are_found_at_any_depth() -> None:
    assert len(NUMBERS) > 200
    assert ".VcdSweep.properties.alphas.items" in NUMBERS


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_is_bounded_on_both_sides(name: str) -> None:
    assert {"minimum", "exclusiveMinimum"} & set(NUMBERS[name]), f"{name} has no lower bound"
    assert {"maximum", "exclusiveMaximum"} & set(NUMBERS[name]), f"{name} has no upper bound"


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.annotation in (int, float)])
def test_every_number_has_a_unit(name: str) -> None:
    assert "unit" in (FIELDS[name].json_schema_extra or {}), name


def changed(tmp_path: Path, edit: typing.Callable[[dict], None]) -> Path:
    values = yaml.safe_load((CONFIG / "smoke.yaml").read_text(encoding="utf-8"))
    edit(values)
    path = tmp_path / "smoke.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def at(values: dict, dotted: str) -> dict:
    for name in dotted.split("."):
        values = values[name]
    return values


def deepest(values: dict) -> tuple[str, dict]:
    """The dotted name and mapping of one innermost section of document qiw."""
    name, inner = "qiw", values["qiw"]
    while True:
        below = [(key, value) for key, value in inner.items() if isinstance(value, dict)]
        if not below:
            return name, inner
        name, inner = f"{name}.{below[0][0]}", below[0][1]


def test_a_misspelt_key_is_named_with_the_allowed_ones(tmp_path: Path) -> None:
    name, inner = deepest(yaml.safe_load((CONFIG / "smoke.yaml").read_text(encoding="utf-8")))
    right = next(iter(inner))
    wrong = f"{right}z"

    def misspell(values: dict) -> None:
        section = deepest(values)[1]
        section[wrong] = section.pop(right)

    with pytest.raises(UserError) as error:
        load(changed(tmp_path, misspell))
    message = str(error.value)
    assert "\n" not in message
    assert f"unknown key '{name}.{wrong}' (did you mean '{right}'?)" in message
    assert all(key in message for key in inner)
    assert "smoke.yaml" in message


def test_an_unknown_key_lists_the_allowed_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load(changed(tmp_path, lambda values: deepest(values)[1].update(extra=1)))
    _, inner = deepest(yaml.safe_load((CONFIG / "smoke.yaml").read_text(encoding="utf-8")))
    assert "unknown key" in str(error.value)
    assert all(key in str(error.value) for key in inner)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing key 'stand_ins'"):
        load(changed(tmp_path, lambda values: values.pop("stand_ins")))


def test_a_bad_value_is_shown(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"bad value for 'stand_ins'.*'sometimes'"):
        load(changed(tmp_path, lambda values: values.update(stand_ins="sometimes")))


@pytest.mark.parametrize(
    ("section", "key", "value", "says"),
    [
        (
            "gaps",
            "cells",
            ["vae", "iwae_S3"],
            r"gaps\.cells names \['iwae_S3'\], which density\.cells does not",
        ),
        ("train", "batch", 10**6, r"train\.batch is 1000000, but train\.points is"),
        ("protocol", "draws", 1000, r"protocol\.draws is 1000, but train\.draws is"),
    ],
)
def test_sections_that_ask_for_what_is_not_trained_are_refused(
    tmp_path: Path, section: str, key: str, value: object, says: str
) -> None:
    with pytest.raises(UserError, match=f"bad value for 'mapa': {says}") as error:
        load(changed(tmp_path, lambda values: values["mapa"][section].update({key: value})))
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("name", "key", "value", "says"),
    [
        ("mapa.protocol", "samples", 41, "samples is 41, no multiple of components, 5"),
        ("mapa.protocol", "bound_samples", 42, "bound_samples is 42, no multiple of components, 5"),
        ("air.theory", "figure_sigmas", [0.7], r"figure_sigmas names \[0\.7\], which sigmas does not"),
        ("air.theory", "sigmas", [0.25, 1.0, 4.0, 1.0], "1.0 is named twice"),
        ("air.saturation", "cells", ["k2"], r"saturation\.cells names \['k2'\], which train\.cells does not"),
        (
            "air.images",
            "mnits",
            {"train": 9**3, "valid": 9, "test": 9},
            r"names \['mnits'\], which .*datasets\.py",
        ),
        ("air.images", "omniglot", None, "omniglot.*keys and their values"),
        ("air.images.omniglot", "trian", 10, "'train'.*allowed here: test, train, valid"),
        ("air.train.cells.k1", "datasets", ["mnits"], "datasets.*binarized_mnist"),
        (
            "air.train",
            "architectures",
            {},
            r"train\.cells names \['binarized_mnist', .*architectures does not",
        ),
        ("qiw.mnist_reconstruct", "bound_images", 201, "bound_images is 201, but images is 200"),
        ("implicit.density_ratio.finite_sample", "batch", 201, "batch is 201, but points is 200"),
        ("implicit.density_ratio.finite_sample", "dimensions", [3, 3], "3 is named twice"),
        ("implicit.vcd_toys.chains", "adapting", 4, "adapting is 4, but iterations is 3"),
        ("implicit.vcd_toys.sweep", "ts", [2, 2], "2 is named twice"),
        ("implicit.vcd_toys", "round_steps", 11, "factorised.iterations is 100, no multiple of"),
        ("efvae.gan", "side", 24, "8, 16, 32 or 64"),
    ],
)
def test_settings_that_do_not_agree_are_refused(
    tmp_path: Path, name: str, key: str, value: object, says: str
) -> None:
    with pytest.raises(UserError, match=says) as error:
        load(changed(tmp_path, lambda values: at(values, name).update({key: value})))
    assert name.partition(".")[0] in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"), [("a: [", "not valid YAML"), ("", "keys and their"), ("- 1", "keys and their")]
)
def test_a_broken_file_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=says) as error:
        load(path)
    assert "\n" not in str(error.value)


def test_a_key_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "smoke.yaml"
    text = (CONFIG / "smoke.yaml").read_text(encoding="utf-8")
    path.write_text(f"{text}stand_ins: never\n", encoding="utf-8")
    first = text[: text.index("stand_ins:")].count("\n") + 1
    with pytest.raises(UserError) as error:
        load(path)
    last = text.count("\n") + 1
    assert str(error.value) == (
        f"{path}: not valid YAML: line {last}: key 'stand_ins' is given twice (first in line {first})"
    )


def test_a_key_given_twice_is_found_at_any_depth_but_may_replace_an_inherited_one(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc:\n  - {<<: *b, y: 4}\n", encoding="utf-8")
    assert read_yaml(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}, "c": [{"x": 3, "y": 4}]}
    path.write_text("a:\n  - b: {x: 1,\n    x: 1}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"line 3: key 'x' is given twice \(first in line 2\)"):
        read_yaml(path)


def test_a_missing_file_says_where_scales_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="scales are files in"):
        load(tmp_path / "none.yaml")


def test_a_misspelt_file_is_told_with_the_nearest_scale() -> None:
    with pytest.raises(UserError, match=r"lpatop\.yaml: cannot be read .*\(did you mean 'laptop'\?\)"):
        load(CONFIG / "lpatop.yaml")


def test_sections_are_found_by_dotted_name() -> None:
    config = load(CONFIG / "smoke.yaml")
    assert section(config, "qiw") is config.qiw


def test_paper_yaml_says_where_each_value_comes_from() -> None:
    for number, line in enumerate((CONFIG / "paper.yaml").read_text(encoding="utf-8").splitlines(), 1):
        assigns = re.match(r"\s*(- )?[\w.-]+:\s*[^#\s]", line) or re.match(r"\s*- [^#\s]", line)
        if assigns and not re.search(r":\s*[&*]\w+\s*(#|$)", line):
            comment = line.partition("#")[2].strip()
            assert comment.startswith(SOURCES), (
                f"config/paper.yaml:{number}: say the source of '{line.strip()}'"
            )
