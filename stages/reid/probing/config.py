"""What a trained network is probed with."""

from pydantic import Field

from stages.config import StrictModel


class ProbeConfig(StrictModel):
    """What a trained network is probed with. Cells are those of the heat maps, 64 down and 32 across."""

    protocol: str | None = Field(
        None, description="protocol of all scores; null: queries-kept, or the data set's only one"
    )
    shifts: tuple[int, ...] = Field((1, 2, 3, 4), description="cells by which all heat is shifted")
    noise: tuple[float, ...] = Field(
        (1, 2, 4, 8, 16),
        description="deviations in cells by which each part's heat is moved, as bad poses would",
    )
    resamples: int = Field(10_000, ge=100, le=1_000_000, description="of persons, for intervals and p-values")
    seed: int = Field(0, ge=0, lt=2**31, description="of everything that is drawn")
