"""Recipes (YAML) and pose-estimator configs, installed beside the code."""
