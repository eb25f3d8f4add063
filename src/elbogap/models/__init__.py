"""Models that several documents train: networks, log-joint, and bounds on what is observed."""
