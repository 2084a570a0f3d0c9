"""The table of what is promised of files is made by trying it."""

from benchmarks.reliability import main


def test_a_small_run_loses_nothing(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- table: benchmarks/reliability.py -->\nold\n<!-- end of table -->\nrest\n")
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
    assert text.startswith("# Page") and text.endswith("rest\n") and "old" not in text
    assert all(line in text for line in said.splitlines())
