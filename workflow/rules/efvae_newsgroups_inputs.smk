# Which files document efvae's rules on 20 Newsgroups read, from the settings of a scale.


def efvae_newsgroups_trained(wildcards):
    """Curves and codes of everything that a scale trains on 20 Newsgroups."""
    folder = f"results/{wildcards.scale}/efvae/newsgroups"
    cells = section(CONFIGS[wildcards.scale], "efvae.newsgroups_train").cells
    return {
        f"{kind}_{name}": f"{folder}/{kind}_{name}.{suffix}"
        for name in cells
        for kind, suffix in (("curves", "csv"), ("codes", "npz"))
    }
