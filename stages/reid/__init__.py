"""Stage two: frames and cached poses in, a trained network and a ranked answer out."""
