# Document atlas, ours: every method on every problem with a known answer.


wildcard_constraints:
    posterior="[a-z0-9_]+",


def atlas_settings(wildcards):
    """The settings of all fits, without the list of problems."""
    return section(CONFIGS[wildcards.scale], "atlas.score").without_others().model_dump_json()


def atlas_tables(scale):
    """All that the fits of a scale gave."""
    each = "scores_{0}={1}/scores.csv known_{0}={1}/known.csv draws_{0}={1}/draws.npz"
    folders = section(CONFIGS[scale], "atlas.score").folders()
    return " ".join(each.format(*folder) for folder in folders.items())


experiment(
    "atlas.score",
    "every method on {wildcards.problem}",
    outputs="scores=made/{problem}/scores.csv known=made/{problem}/known.csv draws=made/{problem}/draws.npz",
    settings=atlas_settings,
)
experiment(
    "atlas.posteriordb",
    "every method on {wildcards.posterior}",
    inputs="data=data/posteriordb.json",
    outputs="scores=posteriordb/{posterior}/scores.csv known=posteriordb/{posterior}/known.csv draws=posteriordb/{posterior}/draws.npz",
    runs="atlas.score",
    settings=atlas_settings,
    keys={"posterior": "problem"},
)
experiment(
    "atlas.summary",
    "tables of all scores",
    found=atlas_tables,
    outputs="""
        scores=tab_scores.csv intervals=tab_intervals.csv problems=tab_problems.csv gaps=tab_gaps.csv bounds=tab_bounds.csv
        importance=tab_importance.csv summary=tab_summary.csv draws=draws.npz
    """,
    settings=lambda wildcards: "{}",
)

figure("atlas.fig01_heat_map", "scores=tab_scores.csv")
figure("atlas.fig02_evaluations", "scores=tab_scores.csv")
figure("atlas.fig03_draws", "draws=draws.npz scores=tab_scores.csv")
