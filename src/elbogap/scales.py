"""One typed model for all settings; the files `config/<scale>.yaml` only assign its values.

A file may begin from another scale, `extends: laptop`, and give only what it changes: mappings are merged key
by key, at any depth; all other values, lists too, replace the old ones; a key with the value null is removed.
"""

from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from elbogap.config.base import Section, setting, validated
from elbogap.config.scale import scale_names
from elbogap.config.yaml_file import read_yaml
from elbogap.errors import UserError, did_you_mean, shown
from elbogap.papers.air.settings import AirConfig
from elbogap.papers.atlas.settings import AtlasConfig
from elbogap.papers.efvae.settings import EfvaeConfig
from elbogap.papers.implicit.settings import ImplicitConfig
from elbogap.papers.mapa.settings import MapaConfig
from elbogap.papers.qiw.settings import QiwConfig

EXTENDS = "extends"


class Config(Section):
    """All settings of one scale. The documents are shown everywhere in the order of their fields."""

    stand_ins: Literal["always", "if-unavailable", "never"] = setting(
        "Whether declared synthetic stand-ins replace real data sets: always (smoke), only where nothing "
        "serves the real one (laptop), or never, so that a missing data set is an error (paper)."
    )
    mapa: MapaConfig = setting("Document mapa: model-agnostic posterior approximation.")
    qiw: QiwConfig = setting("Document qiw: importance-weighted autoencoders reinterpreted.")
    air: AirConfig = setting("Document air: amortized inference regularization.")
    implicit: ImplicitConfig = setting("Document implicit: implicit and semi-implicit distributions.")
    efvae: EfvaeConfig = setting("Document efvae: VAE approximation error and exponential families.")
    atlas: AtlasConfig = setting("Document atlas, ours: every method on every problem with a known answer.")


DOCUMENTS = [name for name, field in Config.model_fields.items() if isinstance(field.annotation, type)]
"""The keys of the documents in the order of reading."""


class Scales(dict[str, Config]):
    """The scales of a folder, each read at its first use, so that a broken one disturbs no other."""

    def __init__(self, folder: Path) -> None:
        """Read the names alone."""
        super().__init__()
        self.folder, self.names = folder, scale_names(folder)

    def __missing__(self, name: str) -> Config:
        """Read a scale; raises UserError if there is none of that name or its file is broken."""
        if name not in self.names:
            raise UserError(f"no scale {_known(name, self.folder)}")
        return self.setdefault(name, load(self.folder / f"{name}.yaml"))


def load(path: Path, heirs: tuple[str, ...] = ()) -> Config:
    """A scale file, validated, with all that it takes from the scale it extends; `heirs` extend it.

    UserError if the file, a key or its value is wrong; the message names them.
    """
    if not path.exists():
        hint = did_you_mean(path.stem, scale_names(path.parent))
        raise UserError(f"{path}: cannot be read (no such file){hint}; scales are files in {path.parent}/")
    values = read_yaml(path)
    if isinstance(values, dict) and EXTENDS in values:
        parent, line = values[EXTENDS], (*heirs, path.stem)
        if parent in line:
            raise UserError(f"{path}: scales extend each other in a circle: {' -> '.join([*line, parent])}")
        if parent not in scale_names(path.parent):
            raise UserError(f"{path}: {EXTENDS}: no scale {_known(parent, path.parent)}")
        inherited = load(path.with_name(f"{parent}.yaml"), line).model_dump(mode="json")
        values = _merged(inherited, values | {EXTENDS: None})
    return validated(Config, values, path, more_keys=[EXTENDS])


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    both = old | {key: _merged(old.get(key), value) for key, value in new.items()}
    return {key: value for key, value in both.items() if value is not None}


def _known(name: object, folder: Path) -> str:
    known = scale_names(folder)
    return f"{shown(name)}{did_you_mean(str(name), known)}; the files in {folder}/ are: {', '.join(known)}"


def section(config: Config, dotted: str) -> Section:
    """The section at a dotted name such as `qiw.posterior_2d`."""
    found: Section = attrgetter(dotted)(config)
    return found
