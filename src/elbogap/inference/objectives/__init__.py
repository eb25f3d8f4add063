"""Objectives that are maximised over q, and over a model if that is trained too.

    objective                   value                                   gradient              needs q with
    elbo.ELBO                   ELBO                                    of the value          a density
    elbo.ClosedFormELBO         E log p(x|z) - KL(q || N(0, I))         of the value          mean field
    elbo.SIVI                   bound with T noises, at most the ELBO   of the value          semi-implicit
    elbo.IWAE                   E log (1/S) sum_s w_s                   plain, or doubly      an exact density
                                                                        reparameterised
    uivi.UIVI                   SIVI's bound for T = 0                  the ELBO's            semi-implicit
    contrastive.VCD             (1 - a) log p(x) minus the alpha-VCD    of the value          an exact density
    contrastive.Hoffman         ELBO                                    q's: the ELBO's;      an exact density
                                                                        model's: at z_t
    adversarial.DensityRatio    E log p(x|z) - T(z)                     of the value, T fixed draws alone
    adversarial.Classification  E_q log D + E_p log(1 - D)              the discriminator's   draws alone
    mapa.MAPA                   bound on the empiricalised log p(x)     the model's           data indices
    denoising.Denoising         bound for noisy and clean views         of the value          an axis of views
    codes.ARM, DisARM,          ELBO                                    of the value          Bernoulli codes
    codes.REINFORCE

:class:`elbogap.inference.objectives.base.Objective` is their contract, which
`tests/inference/test_contract.py` checks against quadrature and enumeration.
"""
