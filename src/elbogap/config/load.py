"""One typed model for all settings; the files `config/<scale>.yaml` only assign its values."""

import types
import typing
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from elbogap.config.base import Section, setting
from elbogap.config.mapa import MapaConfig
from elbogap.config.qiw import QiwConfig
from elbogap.errors import UserError

__all__ = ["Config", "load", "scales", "section"]


class Config(Section):
    """All settings of one scale."""

    stand_ins: typing.Literal["always", "if-unavailable", "never"] = setting(
        "Whether declared synthetic stand-ins replace real data sets: always (smoke), only where nothing "
        "serves the real one (laptop), or never, so that a missing data set is an error (paper)."
    )
    mapa: MapaConfig = setting("Document mapa: model-agnostic posterior approximation.")
    qiw: QiwConfig = setting("Document qiw: importance-weighted autoencoders reinterpreted.")


def scales(folder: Path) -> list[str]:
    """The names of the scales that have a file in `folder`."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load(path: Path) -> Config:
    """Read and validate one scale file.

    Raises:
        UserError: the file is missing, is no YAML, or has an unknown key, a missing key or a bad value;
            the message names the file and the key, and lists the allowed keys.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); scales are files in {path.parent}/") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first, others = error.errors()[0], error.error_count() - 1
        more = f" (and {others} more)" if others else ""
        raise UserError(f"{path}: {_explain(first)}{more}") from error


def section(config: Config, dotted: str) -> Section:
    """The section at a dotted name such as `qiw.posterior_2d`."""
    value: typing.Any = config
    for name in dotted.split("."):
        value = getattr(value, name)
    return value


def _explain(problem: typing.Any) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        allowed = ", ".join(sorted(_model_at(location[:-1]).model_fields))
        return f"unknown key '{key}'; allowed here: {allowed}"
    if problem["type"] == "missing":
        return f"missing key '{key}'"
    return f"bad value for '{key}': {problem['msg']} (got {problem['input']!r})"


def _model_at(location: list[str]) -> type[BaseModel]:
    """The section model that a path of keys leads to, through unions, lists and mappings."""
    model: type[BaseModel] = Config
    for name in location:
        field = model.model_fields.get(name)
        if field is not None:
            model = next(_models_in(field.annotation), model)
    return model


def _models_in(annotation: typing.Any) -> typing.Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
    else:
        for part in typing.get_args(annotation):
            yield from _models_in(part)
