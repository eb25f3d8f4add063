"""How a model of document mapa came by its standard normal prior, as the column `prior` of tables says it."""

STANDARD = "standard"
"""By training: methods with q(z|x)."""
QUANTILE_MAP = "quantile map"
"""By the exact monotone map from N(0, 1) to the codes, composed with the trained decoder."""
NETWORK = "network"
"""By distilling decoder and map into a network, the document's way (appendix C.3)."""
