"""What a probe replaces in a trained network, and how it scores that."""
