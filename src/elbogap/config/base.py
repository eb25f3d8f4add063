"""Sections of settings files: described, bounded fields and no unknown keys."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from elbogap.config.quantities import Count, Integer, Rate, Seconds, Seed
from elbogap.config.yaml_file import read_yaml
from elbogap.errors import UserError, did_you_mean, shown

Model = TypeVar("Model", bound=BaseModel)
Relation = Iterable[tuple[str, str]]


class UnknownKey(ValueError):
    """A key that a section does not have, and those that it may have; pydantic does not name the latter."""


class Section(BaseModel):
    """One section of a file; an unknown or missing key is an error, and values never change.

    Pairs of dotted names say which value is at most another (`at_most`), which is a multiple of another
    (`multiples`), and whose items are all among those of another (`among`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
    at_most: ClassVar[Relation] = ()
    multiples: ClassVar[Relation] = ()
    among: ClassVar[Relation] = ()

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, values: Any) -> Any:
        for key in values if isinstance(values, dict) else ():
            if key not in cls.model_fields and cls.model_config["extra"] == "forbid":
                raise UnknownKey(key, sorted(cls.model_fields))
        return values

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name, other in self.at_most:
            value, most = attrgetter(name, other)(self)
            if (max(value) if isinstance(value, tuple) else value) > most:
                raise ValueError(f"{name} is {value}, but {other} is {most}")
        for name, other in self.multiples:
            value, unit = attrgetter(name, other)(self)
            if value % unit:
                raise ValueError(f"{name} is {value}, no multiple of {other}, {unit}")
        for name, other in self.among:
            value, known = attrgetter(name, other)(self)
            if missing := sorted(set(value) - set(known)):
                raise ValueError(f"{name} names {missing}, which {other} does not")
        return self


def setting(description: str, *, unit: str = "", **bounds: Any) -> Any:
    """A required field with a description, a unit and bounds (`ge`, `gt`, `le`, `lt`, `min_length` ...).

    Without defaults each scale file alone says what a run does.
    """
    return Field(description=description, json_schema_extra={"unit": unit}, **bounds)


class Resumable(Section):
    """Work that is saved from time to time, so that it can be stopped and resumed."""

    checkpoint_seconds: Seconds = setting("Least time between two checkpoints.", unit="s")


class Seeded(Section):
    """Work with random numbers."""

    seed: Seed = setting("Base seed of all random numbers.")


class Minibatches(Section):
    """Adam on minibatches."""

    batch: Count = setting("Observations per step.")
    epochs: Count = setting("Passes over the training set, of each network that is fitted.")
    learning_rate: Rate = setting("Learning rate of Adam; the initial one of a schedule.")


class Bootstrap(Seeded):
    """Summaries with bootstrap intervals."""

    resamples: Integer = setting("Bootstrap resamples.", ge=100)


def read(model: type[Model], path: Path) -> Model:
    """A YAML file as a model; a UserError if it cannot be read or breaks the form."""
    return validated(model, read_yaml(path), path)


def validated(model: type[Model], values: Any, source: object, *, more_keys: Sequence[str] = ()) -> Model:
    """Values as a model of the file, section or option `source`; `more_keys` are allowed at the top.

    A UserError is one line with the source, the key, what is wrong, and the allowed keys where that helps.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{source}: {_explain(error, values, more_keys)}") from error


def _explain(error: ValidationError, values: Any, more_keys: Sequence[str]) -> str:
    problems = error.errors()
    unknown = [found for found in problems if isinstance(found.get("ctx", {}).get("error"), UnknownKey)]
    problem = (unknown or problems)[0]  # a misspelt key is both unknown and missing: the former says more
    kind, wrong, given, context = problem["type"], problem["msg"], problem["input"], problem.get("ctx", {})
    keys, more = _keys(problem["loc"], values), f" (and {len(problems) - 1} more)" if problems[1:] else ""
    tag = context.get("discriminator", "").strip("'")  # the key that tells the forms of a section apart
    if unknown:
        key, allowed = context["error"].args
        hint = did_you_mean(key, allowed if keys else [*allowed, *more_keys])
        return f"unknown key {_dotted(*keys, key)}{hint}; allowed here: {', '.join(allowed)}{more}"
    if kind in ("missing", "union_tag_not_found"):
        return f"missing key {_dotted(*keys, tag or problem['loc'][-1])}{more}"
    if kind == "union_tag_invalid":
        keys, given, wrong = [*keys, tag], context["tag"], f"allowed are {context['expected_tags']}"
    elif kind == "model_type":
        wrong = "keys and their values are needed"
    where = f"bad value for {_dotted(*keys)}" if keys else "bad values"
    if kind == "value_error":  # of a whole section, whose values would fill the line
        return f"{where}: {context['error']}{more}"
    return f"{where}: {wrong} (got {shown(given)}){more}"


def _keys(location: Sequence[str | int], values: Any) -> list[str | int]:
    """The parts of an error's location that stand in the file; pydantic adds the names of unions' members."""
    found = []
    for part in location:
        with suppress(LookupError, TypeError):
            values = values[part]
            found.append(part)
    return found


def _dotted(*keys: str | int) -> str:
    return shown(".".join(map(str, keys)))
