"""What a completion means: pure, sans-IO stages."""
