"""A package that is not installed is named, with the command that installs it."""

import re
import sys

import pytest

from cache.errors import KeyReIDError
from stages.extras import Extra

DRAWING = Extra("drawing", ("numpy", "no_such_package", "nor_this"), "-r requirements/draw.txt")


def test_all_missing_packages_are_named_before_work_begins():
    way = f"{sys.executable} -m pip install -r requirements/draw.txt"
    expected = rf"^drawing needs no_such_package, nor_this: {re.escape(way)}$"
    with pytest.raises(KeyReIDError, match=expected):
        DRAWING.check()


def test_an_import_that_fails_names_its_package_and_what_installs_it():
    expected = r"^drawing needs no_such_package: .* -m pip install"
    with pytest.raises(KeyReIDError, match=expected), DRAWING.imported():
        import no_such_package  # noqa: F401


def test_nothing_is_said_where_all_is_there():
    Extra("tests", ("pytest", "numpy"), "-r requirements/dev.txt").check()
