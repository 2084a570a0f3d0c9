"""`make lint`: phrases that researchers in this field would not write, and what to write instead."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
INSTEAD = {
    r"\btold\b": "reported, given, distinguished",
    r"\bmade otherwise\b": "made with different settings",
    r"\bbegun\b": "started",
    r"\bdivisions?\b": "split",
    r"\bpeople that come out\b": "tracklets",
    r"\bhas not what\b|\bis going to say\b": "name the two things that differ",
    r"\bnot part of what it says\b": "unexpected bytes",
    r"\bnobody is there\b": "no match, rejected",
    r"\bother manners\b": "name the difference",
}
WORDS = re.compile("|".join(f"({pattern})" for pattern in INSTEAD), re.IGNORECASE)


def problems(text: str) -> list[tuple[int, str, str]]:
    """(line, phrase, what to write instead) of every phrase to avoid."""
    return [
        (number, match[0], list(INSTEAD.values())[match.lastindex - 1])
        for number, line in enumerate(text.splitlines(), start=1)
        for match in WORDS.finditer(line)
    ]


def main() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.py", "*.md", "*.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = []
    for name in listed.stdout.split("\0")[:-1]:
        path = ROOT / name
        if path == Path(__file__) or not path.is_file():
            continue
        for line, phrase, instead in problems(path.read_text(encoding="utf-8")):
            found.append(f"{name}:{line}: {phrase!r}; write: {instead}")
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
