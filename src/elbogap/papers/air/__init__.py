"""Document air (002): amortized inference regularization."""
