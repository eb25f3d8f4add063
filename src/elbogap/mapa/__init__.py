"""MAPA for models and data of one's own: sparse, in any latent dimension, with batches of near observations.

    from elbogap.mapa.kernels import Gaussian, choose_scale
    from elbogap.mapa.model import Mapa

    model = Mapa(encoder, decoder, choose_scale(Gaussian(0.01), x, [1, 2, 4, 8])).fit(x, epochs=50)
    model.sample(100), model.log_prob(x_new), model.posterior(x_new)

What it adds to the document is its roadmap: high dimensions, batches, other kernels and cost.
"""
