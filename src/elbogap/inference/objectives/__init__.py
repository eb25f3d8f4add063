"""What is maximised over approximate posteriors: each names its noise and gives a value and a gradient."""
