"""Text, JSON, YAML and tables of others: what is wrong is named with its line; what is ours may be torn."""

import pytest

from cache.border import reading
from cache.errors import KeyReIDError
from cache.text_files import MOST_VALUES, load_lines, load_record, load_table, load_yaml


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b"\xff", b"[" * 100_000])
def test_a_record_that_cannot_be_read_is_empty(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    assert load_record(tmp_path / "a.json") == load_record(tmp_path / "missing.json") == {}
    (tmp_path / "a.json").write_text('{"a": 1}')
    assert load_record(tmp_path / "a.json") == {"a": 1}


def test_a_line_that_is_cut_short_is_empty(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert list(load_lines(tmp_path / "a.jsonl")) == [{"step": 1}, {"step": 2}, {}]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("name,size\na,1\nb,x\n", r"a\.csv, line 3: invalid literal for int\(\).*'x'; write it again"),
        ("name,length\na,1\n", r"a\.csv, line 1: no column 'size'; write it again"),
        ("", r"a\.csv, line 1: no column 'name'"),
        ("name,size\na\n", r"a\.csv, line 2: TypeError"),
        ('name,size\n"a,1\n', r"a\.csv, line 1: not valid CSV: unexpected end of data"),
    ],
)
def test_a_wrong_row_of_a_table_is_named(tmp_path, content, says):
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(KeyReIDError, match=says):
        load_table(path, lambda row: (row["name"], int(row["size"])), ("name", "size"), "write it again")
    path.write_text("size,name,more\n1,a,?\n")
    read = load_table(path, lambda row: (row["name"], int(row["size"])), ("name", "size"), "write it again")
    assert read == [("a", 1)]


BOMB = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("- 1\n", "not a config .*expected a mapping of keys to values, found a list"),
        ("a: 1\nb: [\n", "line 3: not valid YAML: expected the node content"),
        ("[a]: 1\n", "line 1: not valid YAML: found unhashable key"),
        ("a: &a [*a]\n", "nested too deep, or holds itself"),
        (BOMB, f"more than {MOST_VALUES} values"),
    ],
)
def test_yaml_that_cannot_be_used_is_refused(tmp_path, content, says):
    path = tmp_path / "a.yaml"
    path.write_text(content)
    with pytest.raises(KeyReIDError, match=says), reading(path, "a config"):
        load_yaml(path)
    path.write_text("# nothing\n")
    assert load_yaml(path) == {}
