"""Scoring: tracklets to embeddings, distances, rankings, protocols and their statistics."""
