"""Document efvae (004): VAE approximation error, ELBO and exponential families."""
