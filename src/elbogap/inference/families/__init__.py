"""Approximate posteriors q(z), or q(z|x) where their parameters have an axis of observations.

    family                      q(z)                                    log_prob     draws
    gaussian.DiagonalGaussian   N(m, diag s^2)                          exact        reparameterised
    gaussian.FullRankGaussian   N(m, L L^T)                             exact        reparameterised
    mixture.GaussianMixture     sum_k pi_k N(m_k, diag s_k^2)           exact        stratified, with weights
    flow.Flow                   an invertible network of N(0, I)        exact        reparameterised
    semi_implicit.SemiImplicit  E_e N(mu(e), diag s^2)                  below log q  reparameterised
    affine_mean.AffineMean      the same, mu affine in features of e    below log q  reparameterised
    semi_implicit.Implicit      f(e), e ~ N(0, I)                       none         reparameterised
    bernoulli.BernoulliCodes    prod_l Bernoulli(sigmoid(a_l))          exact        `sample` alone
    proposal.Proposal           q(i|n) over indices of the data         exact        `sample` alone
    resampled.Resampled         q_IW, one of k importance samples       below log q  `sample` alone
    refined.Refined             q_t after t iterations of HMC           below log q  `sample` alone

:class:`elbogap.inference.families.base.Family` is their contract, which `tests/inference/test_contract.py`
checks against quadrature.
"""
