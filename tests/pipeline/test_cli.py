"""The command line as a whole: table of contents, completion, how commands end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import COMMANDS, GROUPS

FOLDER = Path(__file__).resolve().parents[2] / "pipeline/commands"


def test_help_lists_every_command_once_in_its_group(keyreid):
    text = keyreid("--help").out
    titles = [f"{title}:" for title in GROUPS]
    assert [line for line in text.splitlines() if line in titles] == titles
    assert all(text.count(f"\n  {name} ") == 1 for name in COMMANDS)
    files = {path.stem.replace("_", "-") for path in FOLDER.glob("[a-z]*.py")}
    assert files == set(COMMANDS) and sum(map(len, GROUPS.values())) == len(files)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["keyreid", "extr"], {"extract-poses"}),
        (["keyreid", "search", "--dist"], {"--distance"}),
        (["keyreid", "search", "--distance", ""], {"euclidean", "cosine", "visible"}),
        (["keyreid", "eval", "--out"], {"--output"}),
    ],
)
def test_the_shell_completes_commands_options_and_values(typed, expected):
    words = {"_KEYREID_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(typed),
             "COMP_CWORD": str(len(typed) - 1)}  # fmt: skip
    code = "from pipeline.cli import keyreid; keyreid(prog_name='keyreid')"
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, env=os.environ | words, check=False)
    assert {line.split(",", 1)[1] for line in done.stdout.splitlines()} == expected, done.stderr


@pytest.mark.parametrize("command", ["calibrate", "compare", "search", "env", "doctor"])
def test_ctrl_c_ends_any_command_in_one_line_and_130(keyreid, monkeypatch, command):
    """The command's own function is replaced by what Ctrl-C raises in it."""
    from pipeline.cli import keyreid as group

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    found = group.get_command(None, command)
    monkeypatch.setattr(found, "invoke", interrupted)
    words = {"calibrate": ["g"], "compare": ["a", "b"], "search": ["--gallery", "g", "--query", "q"]}
    result = keyreid(command, *words.get(command, []))
    assert result.code == 130 and result.err.split("\n")[-2:] == ["keyreid: interrupted", ""], result
    assert "Traceback" not in result.err


def test_a_wrong_command_or_option_is_exit_code_2(keyreid):
    assert keyreid("trian").code == 2
    assert keyreid("train", "--epoch", 3).code == 2
