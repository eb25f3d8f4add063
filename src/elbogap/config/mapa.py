"""Settings of document mapa."""

from elbogap.config.base import Section


class MapaConfig(Section):
    """Document mapa."""
