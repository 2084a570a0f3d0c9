"""What the documents say exists, and the site builds, whole and without network."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from pipeline.config import Recipe
from tests.docs.blocks import ROOT
from tests.docs.test_blocks import FILES, NAMES
from tests.stages.browser import find_browser, open_browser

TOOLS = ROOT / "docs/tools"
TEST_NAME = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
FILE_NAME = re.compile(
    r"`((?:configs|docs|benchmarks|stages|pipeline|cache|examples|tests|requirements)/[\w./-]+\.\w+)`"
)
KEY = re.compile(
    r"(?:`|--set |\")((?:model|train|eval|pose|dataset)\.[a-z0-9_]+(?:\.[a-z0-9_]+)*)(?=[=:`\",])"
)
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
ENDINGS = ("json", "jsonl", "onnx", "safetensors", "py", "txt")  # of files, not keys of a recipe
PATH_LIKE = (".py", ".md", ".yaml", ".json", ".csv", ".npz", ".safetensors")


@pytest.fixture(scope="module", autouse=True)
def tools():
    """The modules that make pages, importable as MkDocs imports them."""
    sys.path.insert(0, str(TOOLS))
    yield
    sys.path.remove(str(TOOLS))


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_tests_files_keys_and_links_that_are_named_exist(path: Path):
    from config_page import described

    text = path.read_text(encoding="utf-8")
    for file, test in TEST_NAME.findall(text):
        assert f"def {test}(" in (ROOT / file).read_text(), f"{path.name}: no {test} in {file}"
    for name in FILE_NAME.findall(text):
        assert (ROOT / name).exists() or "NAME" in name, f"{path.name}: {name} does not exist"
    keys = set(described(Recipe))
    sections = {key.rsplit(".", n)[0] for key in keys for n in range(1, key.count(".") + 1)}
    for key in KEY.findall(text):
        if not key.endswith(PATH_LIKE) and key.split(".")[-1] not in ENDINGS:
            known = key in keys or key in sections or any(key.startswith(f"{k}.") for k in keys)
            assert known, f"{path.name}: {key} is not a key of a recipe"
    generated = {"configuration.md", "commands.md", "python.md", "errors.md", "benchmarks.md"}
    for link in LINK.findall(text):
        if not link.startswith("figures/") and link not in generated:
            assert (path.parent / link).exists(), f"{path.name}: link to {link}"


def test_messages_in_troubleshooting_are_those_of_the_program():
    from errors_page import error_texts

    known = {text for texts in error_texts().values() for text in texts}
    quoted = re.findall(r"^`(.+)`$", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)
    assert len(quoted) > 10
    for message in quoted:
        if "<" in message:
            assert message in known, message
        else:
            assert message in (ROOT / "Makefile").read_text() + (ROOT / "stages/compat.py").read_text(), (
                message
            )


def test_the_configuration_page_has_every_key_with_a_description():
    from config_page import config_page, described

    page = config_page()
    fields = described(Recipe)
    assert len(fields) > 60
    for key, field in fields.items():
        assert f"| `{key}` |" in page and field.get("description"), key


def test_the_command_page_has_every_command_and_option():
    from commands_page import commands_page

    from pipeline.cli import COMMANDS

    page = commands_page()
    for name in COMMANDS:
        assert f"\n## {name}\n" in page
    for option in (
        "--allow-config-change",
        "--on-bad-frame",
        "--no-pictures",
        "## cache",
        "### cache verify",
    ):
        assert option in page


def test_the_python_page_shows_signatures_and_docstrings():
    from api_page import SHOWN, api_page, find

    page = api_page()
    for names in SHOWN.values():
        for name in names:
            assert f"### `{name}`" in page and find(name).__doc__, name
    assert "def score_ranking(" in page and "clip_length" not in page.split("## Scores")[1][:200]
    assert "    index: str = 'exact'  # exact, or FAISS" in page  # fields of a model
    assert "beside: Sequence[str] = ()," in page and "    cache: PoseCache," in page
    assert "= <function silent" not in page
    assert "(cls" not in page and "<class" not in page


def test_error_texts_are_found_in_all_packages():
    from errors_page import error_texts

    found = error_texts()
    assert {path.split("/")[0] for path in found} == {"pipeline", "stages", "cache"}
    assert sum(map(len, found.values())) > 200


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("MkDocs Material is not installed (make docs installs it)")
    import os

    os.environ["NO_MKDOCS_2_WARNING"] = "1"
    from mkdocs.commands.build import build
    from mkdocs.config import load_config
    from mkdocs.exceptions import Abort

    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
    try:
        build(config)
    except Abort as stop:
        pytest.fail(f"the documentation does not build: {stop}")
    return folder


def test_the_site_builds_strictly_with_generated_pages_and_figures(site: Path):
    for name in ("index", "method", "commands", "configuration", "python", "errors", "benchmarks"):
        assert (site / f"{name}.html").stat().st_size > 5000
    for name in ("part-maps", "kept", "tcss", "prior"):
        assert (site / f"figures/{name}.png").stat().st_size > 5000
    assert not (site / "tools").exists()


def test_the_site_takes_nothing_from_a_server(site: Path):
    for page in site.glob("*.html"):
        html = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]* src=\"?(https?:)?//[^\s>]*", html)
        loaded += re.findall(
            r"<link[^>]* rel=\"?(?:stylesheet|preconnect|preload)\"?[^>]*href=\"?https?:", html
        )
        assert not loaded, page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?https?:", sheet.read_text(encoding="utf-8")), (
            sheet.name
        )


def test_pages_and_search_work_from_the_disk(site: Path, tmp_path_factory: pytest.TempPathFactory):
    binary = find_browser()
    if binary is None:
        pytest.skip("no Chromium here (apt-get install chromium): the site is not tried in a browser")
    with open_browser(binary, tmp_path_factory.mktemp("profile")) as page:
        page.open(site / "method.html")
        assert page.run("[...document.images].every(i => i.alt && i.naturalWidth > 0)")
        page.size(390, 800, mobile=True)
        assert page.run("document.documentElement.scrollWidth") <= 390
        page.run("document.querySelector('[data-md-toggle=search]').click()")
        found = page.call(
            "Runtime.evaluate",
            expression="""new Promise(done => {
              const input = document.querySelector('.md-search__input');
              input.focus(); input.value = 'heat prior';
              const ask = setInterval(() => {
                input.dispatchEvent(new Event('keyup', {bubbles: true}));
                const number = document.querySelectorAll('.md-search-result__item').length;
                if (number) { clearInterval(ask); done(number); }
              }, 100);
              setTimeout(() => done(0), 15000);
            })""",
            awaitPromise=True,
        )
        assert found["result"]["value"] > 0
        assert page.trouble == []
        assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
