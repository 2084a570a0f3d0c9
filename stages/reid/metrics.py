"""Ranking scores for anyone's distances: the public door to `stages.reid.scoring.metrics`."""

from stages.reid.scoring.metrics import RankingInputError, RankingScores, score_ranking

__all__ = ["RankingInputError", "RankingScores", "score_ranking"]
