"""Problems with known answers: one file per kind, and the registry of all."""
