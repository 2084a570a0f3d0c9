"""Stage one: HRNet over every frame, heatmaps into the pose cache."""
