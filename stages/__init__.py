"""The stages: what a tracklet is (datasets), stage one (pose) and stage two (reid)."""
