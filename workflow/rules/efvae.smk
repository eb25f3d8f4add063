# Document efvae: what the ELBO does to decoders of exponential-family VAEs.


def newsgroups_trained(wildcards):
    """Curves and codes of everything that a scale trains on 20 Newsgroups."""
    folder = f"results/{wildcards.scale}/efvae/newsgroups"
    cells = section(CONFIGS[wildcards.scale], "efvae.newsgroups_train").cells
    return {
        f"{kind}_{name}": f"{folder}/{kind}_{name}.{suffix}"
        for name in cells
        for kind, suffix in (("curves", "csv"), ("codes", "npz"))
    }


experiments += [
    Experiment(
        "efvae.toy",
        "the mixture of four Gaussians",
        outputs={
            "table": "efvae/tab00_toy.csv",
            "maps": "efvae/tab_toy_maps.csv",
            "panels": "efvae/toy.npz",
            "plane": "efvae/toy_plane.npz",
        },
    ),
    Experiment(
        "efvae.theory",
        "consistency results on small models",
        outputs={
            name: f"efvae/tab_theory_{name}.csv"
            for name in ("consistent", "encoder", "affine", "flow", "bound")
        },
    ),
    Experiment(
        "efvae.documents",
        "words and documents of 20 Newsgroups",
        inputs={"data": "data/newsgroups.json"},
        outputs={"documents": "efvae/documents.npz", "baselines": "efvae/tab_newsgroups_baselines.csv"},
    ),
    Experiment(
        "efvae.newsgroups_train",
        "train {wildcards.trained} on 20 Newsgroups",
        inputs={"documents": "efvae/documents.npz"},
        outputs={
            "curves": "efvae/newsgroups/curves_{trained}.csv",
            "codes": "efvae/newsgroups/codes_{trained}.npz",
        },
        keys={"trained": "cells"},
        gpu=1,
    ),
    Experiment(
        "efvae.newsgroups_summary",
        "Table 2 and retrieval",
        found=(unpack(newsgroups_trained),),
        inputs={"documents": "efvae/documents.npz", "baselines": "efvae/tab_newsgroups_baselines.csv"},
        published="efvae_newsgroups.csv",
        outputs={"table": "efvae/tab02_newsgroups.csv", "retrieval": "efvae/tab_retrieval.csv"},
    ),
    Experiment(
        "efvae.gan",
        "a GAN as ground truth of CelebA",
        inputs={"data": "data/celeba.json"},
        outputs={
            "ground_truth": "efvae/celeba/ground_truth.npz",
            "training": "efvae/celeba/gan_training.csv",
        },
        gpu=1,
    ),
    Experiment(
        "efvae.pretrain",
        "encoder of the CelebA ground truth by conditional likelihood",
        inputs={"ground_truth": "efvae/celeba/ground_truth.npz"},
        outputs={"encoder": "efvae/celeba/encoder.npz", "training": "efvae/celeba/pretrain_training.csv"},
        gpu=1,
    ),
    Experiment(
        "efvae.joint",
        "decoder and encoder by the ELBO, {wildcards.sigma} sigma",
        inputs={"ground_truth": "efvae/celeba/ground_truth.npz", "encoder": "efvae/celeba/encoder.npz"},
        outputs={
            "model": "efvae/celeba/joint_{sigma}.npz",
            "training": "efvae/celeba/joint_{sigma}_training.csv",
        },
        gpu=1,
    ),
    Experiment(
        "efvae.celeba_evaluate",
        "ELBO and Frechet distance of all stages",
        inputs={
            "inception": "data/fid_inception.json",
            "ground_truth": "efvae/celeba/ground_truth.npz",
            "encoder": "efvae/celeba/encoder.npz",
            "fixed": "efvae/celeba/joint_fixed.npz",
            "learned": "efvae/celeba/joint_learned.npz",
        },
        outputs={"table": "efvae/tab01_celeba.csv", "pictures": "efvae/celeba/pictures.npz"},
        gpu=1,
    ),
]

figures |= {
    "efvae.fig01_balance": {"plane": "efvae/toy_plane.npz"},
    "efvae.fig02_toy": {"panels": "efvae/toy.npz"},
    "efvae.fig03_redecodings": {"pictures": "efvae/celeba/pictures.npz"},
    "efvae.fig04_samples": {"pictures": "efvae/celeba/pictures.npz"},
    "efvae.fig_newsgroups": {"table": "efvae/tab02_newsgroups.csv"},
}
