"""Settings of document qiw."""

from elbogap.config.base import Section


class QiwConfig(Section):
    """Document qiw."""
