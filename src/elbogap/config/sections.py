"""Fields that sections of several documents share."""

from elbogap.config.base import Section, setting
from elbogap.config.quantities import Seconds


class Resumable(Section):
    """Work that is saved from time to time, so that it can be stopped and resumed."""

    checkpoint_seconds: Seconds = setting("Least time between two checkpoints.", unit="s")
