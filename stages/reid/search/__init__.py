"""Search: galleries of embeddings that grow, answers with thresholds, calibration."""
