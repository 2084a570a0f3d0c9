"""`make lint`: phrases that researchers in this field would not write, and lines of documents over 140."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LONGEST = 140
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
    r"(?<!there )\b(?:is|are) no (?!longer|more|smaller|larger|nearer)[a-z]+": "is not a",
    r"\bmade (?:elsewhere|anew|again)\b|\bmade of little\b": "of other tools, regenerated, rewritten",
    r"\b(?:go|goes|going|went) on (?:with|without|where|from)\b": "continue, resume",
    r"\bworked out\b": "computed",
    r"\b(?:at most|about|by|of|in) so many\b": "this many",
    r"\b(?:for want of|perhaps for)\b": "possibly out of",
    r"\bin silence\b": "silently",
    r"\b(?:at|in) hand\b": "available, current",
    r"\bat work\b": "running, busy",
    r"\bthrice\b|\bfor ever\b|\bof late\b|\banew\b": "three times, forever, recently, again",
    r"\bone's own\b": "your own",
    r"\bthe very (?:same|weights|bytes)\b": "the same",
    r"\bkind side\b": "optimistic",
    r"\bmoved aside\b": "shifted",
    r"\bagain and again\b": "repeatedly",
    r"\bearns? (?:its|their) keep\b": "contributes",
    r"\bmend(?:s|ed|ing)?\b": "repair, correct, work around",
    r"\b(?:has|have) to say\b": "reports",
}
WORDS = re.compile("|".join(f"({pattern})" for pattern in INSTEAD), re.IGNORECASE)


def problems(text: str) -> list[tuple[int, str, str]]:
    """(line, phrase, what to write instead) of every phrase to avoid."""
    return [
        (number, match[0], list(INSTEAD.values())[match.lastindex - 1])
        for number, line in enumerate(text.splitlines(), start=1)
        for match in WORDS.finditer(line)
    ]


def long_lines(text: str) -> list[int]:
    """Lines of a Markdown document over LONGEST characters, but in code, tables and quoted messages."""
    long, code = [], False
    for number, line in enumerate(text.splitlines(), start=1):
        code ^= line.lstrip().startswith("```")
        if len(line) > LONGEST and not code and not line.startswith(("|", "`")):
            long.append(number)
    return long


def main() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.py", "*.md", "*.yaml", "*.j2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    wrong = []
    for name in listed.stdout.split("\0")[:-1]:
        path = ROOT / name
        if path.name.endswith("words.py") or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        for line, phrase, instead in problems(text):
            wrong.append(f"{name}:{line}: {phrase!r}; write: {instead}")
        if path.suffix == ".md":
            wrong += [f"{name}:{line}: over {LONGEST} characters; wrap at 130" for line in long_lines(text)]
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
