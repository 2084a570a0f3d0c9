"""From frames and cached heatmaps to batches of clips."""
