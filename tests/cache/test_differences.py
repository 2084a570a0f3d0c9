"""Differences of nested mappings are named by their path."""

from cache.differences import differences, differing


def test_every_leaf_that_differs_is_named_once():
    before = {"a": 1, "b": {"c": [1, 2], "d": {"e": None}}, "gone": 0}
    after = {"a": 1, "b": {"c": [1, 3], "d": {"e": 2}}, "new": "x"}
    assert list(differing(before, after)) == [
        ("b.c", [1, 2], [1, 3]),
        ("b.d.e", None, 2),
        ("gone", 0, None),
        ("new", None, "x"),
    ]
    assert differences(before, after)[0] == "b.c: [1, 2] -> [1, 3]"
    assert not differences(after, dict(after))


def test_long_values_are_shortened():
    (phrase,) = differences({"name": "a" * 500}, {"name": "b"})
    assert len(phrase) < 80 and phrase.endswith(' -> "b"')
