"""Settings of a report."""

from pydantic import Field

from stages.config import StrictModel


class ReportConfig(StrictModel):
    """How much is shown. A picture costs about 3 kB, a query with its lists about 250 kB."""

    queries: int = Field(8, ge=1, le=200, description="best queries shown with pictures, and as many worst")
    answers: int = Field(10, ge=1, le=50, description="length of a shown ranking list")
    clips: int = Field(2, ge=1, le=20, description="clips of a query whose temporal attention is shown")
    frames: int = Field(6, ge=1, le=32, description="frames of a tracklet that are played, evenly spaced")
    picture_height: int = Field(128, ge=32, le=512, description="height of an embedded frame, pixels")
    jpeg_quality: int = Field(80, ge=10, le=100, description="of embedded frames")
    table_rows: int = Field(5000, ge=1, description="queries listed in the table of all queries")
