"""The science: bounds, importance sampling, empirical posteriors."""
