"""Settings of document atlas."""

from typing import Literal

from elbogap.config.base import Section, Seeded, setting
from elbogap.config.quantities import Count, Integer, Levels, Name


class Score(Seeded):
    """Every method on every problem, and how near it comes."""

    problems: Levels[Name] = setting("Problems that are made here.")
    posteriors: Levels[Name] = setting("Problems of posteriordb.")
    methods: Levels[Name] = setting("Methods.", min_length=1)
    seeds: Count = setting("Fits of each method to each problem.")
    steps: Count | Literal["auto"] = setting("Steps of a fit; auto stops where the objective is flat.")
    num_samples: Integer = setting("Draws of each fit that are compared with the answer.", ge=100)
    ks: Levels[Count] = setting("Numbers of draws k of q_IW.", min_length=1)
    shown: Count = setting("Draws of each method in the figure.")

    def without_others(self) -> "Score":
        """What a job on one problem reads, so that a new problem reruns no other."""
        return self.model_copy(update={"problems": (), "posteriors": ()})

    def folders(self) -> dict[str, str]:
        """Where the results on each problem are, by its name."""
        return {name: f"made/{name}" for name in self.problems} | {
            name: f"posteriordb/{name}" for name in self.posteriors
        }


class AtlasConfig(Section):
    """Document atlas."""

    score: Score = setting("All fits and their scores.")
