"""One typed model for all settings; the files `config/<scale>.yaml` only assign its values."""

import typing
from pathlib import Path

from pydantic import ValidationError

from elbogap.config.air import AirConfig
from elbogap.config.base import Section, explain, setting
from elbogap.config.efvae import EfvaeConfig
from elbogap.config.implicit import ImplicitConfig
from elbogap.config.mapa import MapaConfig
from elbogap.config.qiw import QiwConfig
from elbogap.config.scale import scale_names
from elbogap.config.yaml_file import read_yaml
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
    air: AirConfig = setting("Document air: amortized inference regularization.")
    implicit: ImplicitConfig = setting("Document implicit: implicit and semi-implicit distributions.")
    efvae: EfvaeConfig = setting("Document efvae: VAE approximation error and exponential families.")


def scales(folder: Path) -> list[str]:
    """The names of the scales that have a file in `folder`."""
    return scale_names(folder)


def load(path: Path) -> Config:
    """Read and validate one scale file.

    Raises:
        UserError: the file is missing, is no YAML, or has an unknown, repeated or missing key or a bad value;
            the message names the file and the key, and lists the allowed keys.
    """
    try:
        values = read_yaml(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); scales are files in {path.parent}/"
        ) from error
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error, Config)}") from error


def section(config: Config, dotted: str) -> Section:
    """The section at a dotted name such as `qiw.posterior_2d`."""
    value: typing.Any = config
    for name in dotted.split("."):
        value = getattr(value, name)
    return value
