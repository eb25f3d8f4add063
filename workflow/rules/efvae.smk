# Document efvae: what the ELBO does to decoders of exponential-family VAEs.


wildcard_constraints:
    trained="[a-z0-9_]+",
    sigma="fixed|learned",


def newsgroups_trained(scale):
    """Curves and codes of everything that a scale trains on 20 Newsgroups."""
    cells = section(CONFIGS[scale], "efvae.newsgroups_train").cells
    each = "curves_{0}=newsgroups/curves_{0}.csv codes_{0}=newsgroups/codes_{0}.npz"
    return " ".join(map(each.format, cells))


experiment(
    "efvae.toy",
    "the mixture of four Gaussians",
    outputs="table=tab00_toy.csv maps=tab_toy_maps.csv panels=toy.npz plane=toy_plane.npz",
)
experiment(
    "efvae.theory",
    "consistency results on small models",
    outputs="""
        consistent=tab_theory_consistent.csv encoder=tab_theory_encoder.csv affine=tab_theory_affine.csv flow=tab_theory_flow.csv
        bound=tab_theory_bound.csv documents=tab_theory_documents.csv
    """,
)
experiment(
    "efvae.documents",
    "words and documents of 20 Newsgroups",
    inputs="data=data/newsgroups.json",
    outputs="documents=documents.npz baselines=tab_newsgroups_baselines.csv",
)
experiment(
    "efvae.newsgroups_train",
    "train {wildcards.trained} on 20 Newsgroups",
    inputs="documents=documents.npz",
    outputs="curves=newsgroups/curves_{trained}.csv codes=newsgroups/codes_{trained}.npz",
    keys={"trained": "cells"},
    gpu=1,
)
experiment(
    "efvae.newsgroups_summary",
    "Table 2 and retrieval",
    found=newsgroups_trained,
    inputs="documents=documents.npz baselines=tab_newsgroups_baselines.csv published=paper/efvae/published/newsgroups.csv",
    outputs="table=tab02_newsgroups.csv runs=tab_newsgroups_runs.csv curves=newsgroups/curves.csv retrieval=tab_retrieval.csv",
)
experiment(
    "efvae.gan",
    "a GAN as ground truth of CelebA",
    inputs="data=data/celeba.json",
    outputs="ground_truth=celeba/ground_truth.npz",
    gpu=1,
)
experiment(
    "efvae.pretrain",
    "encoder of the CelebA ground truth by conditional likelihood",
    runs="efvae.celeba_train",
    settings=settings("efvae.pretrain"),
    inputs="start=celeba/ground_truth.npz",
    outputs="model=celeba/encoder.npz",
    gpu=1,
)
experiment(
    "efvae.joint",
    "decoder and encoder by the ELBO, {wildcards.sigma} sigma",
    runs="efvae.celeba_train",
    settings=settings("efvae.joint"),
    inputs="start=celeba/encoder.npz",
    outputs="model=celeba/joint_{sigma}.npz",
    gpu=1,
)
experiment(
    "efvae.celeba_evaluate",
    "ELBO and distances of all stages",
    inputs="inception=data/fid_inception.json ground_truth=celeba/encoder.npz fixed=celeba/joint_fixed.npz learned=celeba/joint_learned.npz",
    outputs="table=tab01_celeba.csv samples=tab_celeba_samples.csv pictures=celeba/pictures.npz",
    gpu=1,
)

figure("efvae.fig01_balance", "plane=toy_plane.npz")
figure("efvae.fig02_toy", "panels=toy.npz")
figure("efvae.fig03_redecodings", "pictures=celeba/pictures.npz")
figure("efvae.fig04_samples", "pictures=celeba/pictures.npz table=tab01_celeba.csv")
figure("efvae.fig_newsgroups", "curves=newsgroups/curves.csv")
figure(
    "efvae.fig_theorems",
    """
        consistent=tab_theory_consistent.csv bound=tab_theory_bound.csv flow=tab_theory_flow.csv encoder=tab_theory_encoder.csv
        documents=tab_theory_documents.csv
    """,
)
