"""The data sets: how the files of each are read, and what stands in for it."""
