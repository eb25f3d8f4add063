"""Document mapa (000): model-agnostic posterior approximation."""
