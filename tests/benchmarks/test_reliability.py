"""The table of what is promised of files is made by trying it."""

from benchmarks.reliability import END, START, main

OLD = """| promise | tested by | times | seen | lost | day |
|---|---|---:|---|---:|---|
| A full disk loses nothing | seldom | 1 | - | much | 2026-01-01 |
| old | of another run | 1 | - | nothing | 2026-01-01 |
"""


def test_a_small_run_loses_nothing(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{START}\n{OLD}{END}\nrest\n")
    main(
        [
            "--kills",
            "0",
            "--flips",
            "6",
            "--fuzz",
            "0",
            "--writers",
            "0",
            "--full",
            "1",
            "--output",
            str(page),
        ]
    )
    said = capsys.readouterr().out
    assert said.count("| nothing |") == 3 and "all refused" in said
    text = page.read_text()
    assert text.startswith("# Page") and text.endswith("rest\n") and "seldom" not in text
    assert text.count("| old |") == 1 and text.count("| promise |") == 1
    assert all(line in text for line in said.splitlines())
