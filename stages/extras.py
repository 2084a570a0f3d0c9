"""Packages that one part of the program alone needs, and that are installed with it."""

import contextlib
from collections.abc import Iterator

from cache.errors import KeyReIDError


@contextlib.contextmanager
def extra(part: str, requirements: str) -> Iterator[None]:
    """Imports inside say what to install where they fail.

    part: of the program, such as "tracking". requirements: arguments of pip install. Raises KeyReIDError.
    """
    try:
        yield
    except ImportError as error:
        raise KeyReIDError(f"{part} needs {error.name or error}: pip install {requirements}") from error
