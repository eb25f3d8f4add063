"""Document atlas, ours: every method on every problem with a known answer."""
