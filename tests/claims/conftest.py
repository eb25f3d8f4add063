"""Made-up claims beside made-up tables: KL falls with k, in two seeds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import settings

from elbogap.claims.specification import Claim
from made_up_claim import claim_values
from published import write_result

MakeClaim = Callable[..., Claim]


class Folder:
    """Claims, published numbers and results of a made-up project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paper, self.results = root / "paper", root / "results"
        self.write_table(
            pd.DataFrame({"k": [1, 1, 10, 10], "seed": [0, 1, 0, 1], "kl": [0.5, 0.7, 0.2, 0.1]})
        )

    def write_claims(self, *claims: dict[str, Any], document: str = "toy") -> Path:
        path = self.paper / document / "claims.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"claims": list(claims)}, sort_keys=False), encoding="utf-8")
        return path

    def write_table(self, frame: pd.DataFrame, name: str = "smoke/toy/tab.csv") -> None:
        write_result(self.results / name, frame)

    def write_published(self, frame: pd.DataFrame) -> Path:
        path = self.paper / "toy/published/tab.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)
        return path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def values() -> Callable[..., dict[str, Any]]:
    return claim_values


@pytest.fixture
def make_claim() -> MakeClaim:
    return lambda **changes: Claim.model_validate(claim_values(**changes))


settings.register_profile("unhurried", deadline=None)  # other load on the machine is no failure
settings.load_profile("unhurried")
