"""What others wrote is shown as text: no escape is obeyed, no bracket is markup."""

import logging
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from stages.terminal import TerminalLog, one_line, plain, progress, say, short, show, text_table

HOSTILE = "\x1b[31mred\x1b]8;;http://x\x07 [bold]b[/bold] [/] \r\b\x9b2J \u202eabc \udcff"
SHOWN = r"\x1b[31mred\x1b]8;;http://x\x07 [bold]b[/bold] [/] \r\x08\x9b2J \u202eabc \udcff"


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_becomes_one_that_a_terminal_obeys_in_nothing(text):
    shown = plain(text)
    assert {unicodedata.category(c) for c in shown if c != "\n"}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
    assert not {unicodedata.bidirectional(c) for c in shown} & {
        "LRE",
        "RLE",
        "LRO",
        "RLO",
        "LRI",
        "RLI",
        "FSI",
    }
    assert "\n" not in one_line(text)
    shown.encode()


@pytest.mark.parametrize("style", ["", "bold"])
@pytest.mark.parametrize("error", [False, True])
def test_a_line_shows_escapes_and_brackets_as_they_are(capsys, style, error):
    say(HOSTILE, error=error, style=style)
    out, err = capsys.readouterr()
    assert (err if error else out) == SHOWN + "\n" and not (out if error else err)


def test_a_table_shows_escapes_and_brackets_as_they_are(capsys):
    table = text_table(HOSTILE, "b", title=HOSTILE)
    table.add_row(HOSTILE, Text("ours", "red"))
    show(table)
    words = "".join(capsys.readouterr().out.split())
    assert "\x1b" not in words and words.count(r"\u202eabc") == 3 and words.count("[bold]") >= 3


def test_names_in_a_table_are_whole_where_no_terminal_is(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    name = "door-0001/door/000005-000051" * 5
    table = text_table("tracklet", "part")
    table.add_row(name, name)
    show(table)
    assert f" {name} │ {name} " in capsys.readouterr().out


def test_a_progress_bar_has_text_for_names(capsys):
    with progress("{task.description}", disable=False) as bar:
        bar.add_task(plain(HOSTILE), total=1)
    err = capsys.readouterr().err
    assert "[bold]b[/bold] [/]" in err and "\x1b]8" not in err


def test_a_warning_is_a_line(capsys):
    record = logging.LogRecord("stages.x", logging.WARNING, "", 0, "%s", ("a\n\x1b[2J",), None)
    TerminalLog().emit(record)
    assert capsys.readouterr().err == "keyreid: warning: a\\n\\x1b[2J\n"


def test_an_error_with_escapes_is_one_plain_line(tmp_path):
    words = [sys.executable, "-m", "pipeline", "doctor", "--data-root", str(tmp_path / "a\x1b[31m\n[/]")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and r"a\x1b[31m\n[/]" in done.stderr and done.stderr.count("\n") == 1


def test_of_an_error_only_endless_values_are_shortened():
    path = "/".join(["x" * 255] * 4)
    assert short(f"{path}: missing\n{path}") == f"{path}: missing\n{path}"
    assert short("1" * 300) == "1" * 60 + "...(180 more characters)..." + "1" * 60
    line = short("error: " + "1 " * 5000)
    assert line.startswith("error: 1 1") and "...(8007 more characters)..." in line and len(line) < 2100
