"""A package that is not installed is named, with the command that installs it."""

import pytest

from cache.errors import KeyReIDError
from stages.extras import extra


def test_a_missing_package_is_named_with_what_installs_it():
    expected = r"^tracking needs no_such_package: pip install -r requirements/track\.txt$"
    with pytest.raises(KeyReIDError, match=expected), extra("tracking", "-r requirements/track.txt"):
        import no_such_package  # noqa: F401
