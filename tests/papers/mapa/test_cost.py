from pathlib import Path

import pandas as pd
from test_train import SETTINGS

from elbogap.papers.mapa.experiments import cost
from elbogap.papers.mapa.settings import Cost, TimedTraining
from elbogap.runtime import Run


def test_every_cell_has_its_repeats_and_larger_budgets_cost_more(
    surrogates: dict[str, Path], tmp_path: Path
) -> None:
    train = SETTINGS.model_copy(update={"points": 200, "batch": 20, "hidden": (40, 40)})
    cells = ("vae", "iwae_S200", "iwae_S5", "mapa_S5_k20")
    settings = TimedTraining(cells=cells, timing=Cost(epochs=1, repeats=3), train=train)
    inputs = {"surrogate": surrogates["circle"]}
    table = cost.run(settings, Run("test", {"problem": "circle"}, inputs, tmp_path))["cost"]
    assert table["cell"].tolist() == list(cells) * 3
    assert table["repeat"].tolist() == [1] * 4 + [2] * 4 + [3] * 4
    median = table.groupby("cell")["seconds_per_step"].median()
    assert median["iwae_S200"] > median["vae"]
    by_cell = table.set_index(["cell", "repeat"])
    of_mapa, of_iwae = by_cell.loc["mapa_S5_k20"], by_cell.loc["iwae_S5"]
    pd.testing.assert_series_equal(of_mapa["seconds_iwae"], of_iwae["seconds_per_step"], check_names=False)
    assert table.loc[table["cell"] == "vae", "seconds_iwae"].isna().all()
