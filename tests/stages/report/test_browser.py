"""The page in a real browser, without network: filters, keyboard, phone width, dark, names, contrast."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from tests.stages.browser import CONTRAST, Page
from tests.stages.report.conftest import Evaluated

VISIBLE = "[...document.querySelectorAll('[data-item=cards]')].filter(e => e.offsetParent !== null)"


@pytest.fixture
def opened(page: Page, evaluated: Evaluated) -> Iterator[Page]:
    """The report. After each test, whatever it did: no error, nothing on the console, nothing asked for."""
    page.trouble.clear()
    page.requests.clear()
    page.size(1280, 900)
    page.dark(False)
    page.open(evaluated.report)
    yield page
    page.settle()
    assert page.trouble == []
    assert [url for url in page.requests if not url.startswith("data:")] == [evaluated.report.as_uri()]


def choose(page: Page, name: str, value: str) -> None:
    page.run(
        f"(() => {{ const c = document.querySelector('[data-filter={name}]'); c.value = {value!r};"
        "c.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def test_every_picture_of_the_page_can_be_shown(opened: Page):
    assert opened.run("document.images.length") > 10
    assert opened.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


@pytest.mark.parametrize(
    "script",
    [
        "setTimeout(() => { throw new Error('thrown') })",
        "console.error('reported')",
        "fetch('https://x.invalid/')",
    ],
)
def test_trouble_in_the_page_is_noticed(opened: Page, script: str):
    opened.run(f"void ({script})")
    opened.settle()
    assert len(opened.trouble) >= 1
    opened.trouble.clear()
    opened.requests[1:] = []


def test_filters_leave_what_matches_and_say_how_many(opened: Page):
    everything = opened.run(f"{VISIBLE}.length")
    camera = opened.run("document.querySelector('[data-filter=camera]').options[1].value")
    choose(opened, "camera", camera)
    shown = opened.run(f"{VISIBLE}.map(e => e.dataset.camera)")
    assert 0 < len(shown) < everything and set(shown) == {camera}
    rows = opened.run("[...document.querySelectorAll('[data-item=rows]')].filter(e => !e.hidden).length")
    answer = opened.run("document.getElementById('shown').textContent")
    assert answer.startswith(f"{len(shown)} of {everything} ") and f" {rows} of " in answer
    choose(opened, "text", "NO SUCH NAME")
    assert opened.run(f"{VISIBLE}.length") == 0
    opened.run("document.getElementById('clear').click()")
    assert opened.run(f"{VISIBLE}.length") == everything


@pytest.mark.parametrize("name", ["outcome", "occlusion", "camera"])
def test_each_choice_of_a_filter_leaves_exactly_its_own(opened: Page, name: str):
    values = opened.run(f"[...document.querySelector('[data-filter={name}]').options].map(o => o.value)")
    assert values[0] == "" and len(values) > 2
    found = []
    for value in values[1:]:
        choose(opened, name, value)
        for kind in ("cards", "rows"):
            items = f"[...document.querySelectorAll('[data-item={kind}]')]"
            state = opened.run(f"{items}.map(e => [e.dataset.{name}, e.offsetParent !== null])")
            assert state and all(shown == (own == value) for own, shown in state), (value, kind)
            found += [value] * (kind == "rows") * sum(shown for _, shown in state)
    total = opened.run("document.querySelectorAll('[data-item=rows]').length")
    assert len(found) == total and set(found) == set(values[1:])


def test_filters_work_together_and_survive_sorting(opened: Page):
    for name, value in (("camera", "1"), ("outcome", "right")):
        choose(opened, name, value)
    rows = "[...document.querySelectorAll('[data-item=rows]')]"
    picked = f"{rows}.filter(e => !e.hidden).map(e => [e.dataset.camera, e.dataset.outcome, e.innerText])"
    before = opened.run(picked)
    assert before and {tuple(row[:2]) for row in before} == {("1", "right")}
    headings = opened.run("[...document.querySelectorAll('.sortable th button')].map(b => b.textContent)")
    for column, heading in enumerate(headings):
        for descending in (False, True):
            opened.run(f"document.querySelectorAll('.sortable th button')[{column}].click()")
            assert sorted(opened.run(picked)) == sorted(before)
            cells = opened.run(f"{rows}.map(e => e.children[{column}].textContent)")
            if heading in ("person", "camera", "first right at", "AP"):
                cells = [float(cell) for cell in cells]
            if heading != "query":  # text sorts by locale
                assert cells == sorted(cells, reverse=descending), heading


def test_the_page_is_worked_by_keyboard_alone(opened: Page):
    opened.press("Tab")
    assert opened.run("document.activeElement.textContent") == "Skip to the scores"
    reached = []
    for _ in range(60):
        opened.press("Tab")
        reached.append(
            opened.run(
                "(e => e.dataset.filter || e.id || e.tagName + ':' + e.className)(document.activeElement)"
            )
        )
    for wanted in ("A:", "SUMMARY:", "camera", "outcome", "text", "clear", "DIV:scroll"):
        assert wanted in reached, wanted
    assert opened.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    opened.run("document.querySelector('.card summary').focus()")
    opened.press("Enter")
    assert opened.run("document.querySelector('.card details').open")
    opened.run("document.querySelectorAll('.sortable th button')[0].focus()")
    opened.press(" ")
    names = opened.run(
        "[...document.querySelectorAll('[data-item=rows]')].map(r => r.children[0].textContent)"
    )
    assert names == sorted(names)
    assert opened.run("document.querySelector('.sortable th').getAttribute('aria-sort')") == "ascending"
    opened.press("Enter")
    assert opened.run("document.querySelector('.sortable th').getAttribute('aria-sort')") == "descending"


def test_nothing_sticks_out_at_phone_width(opened: Page):
    opened.size(360, 740, mobile=True)
    opened.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert opened.run("document.documentElement.scrollWidth") <= 360
    assert opened.run("document.querySelector('.chart text').getBoundingClientRect().height") >= 9


@pytest.mark.parametrize("width", [1280, 360])
def test_no_text_of_a_chart_or_of_a_picture_is_cut_off(opened: Page, width: int):
    opened.size(width, 900, mobile=width < 400)
    outside = """
      (inner, outer, border) => {
        const [a, b] = [inner.getBoundingClientRect(), outer.getBoundingClientRect()];
        return a.left < b.left + border - 0.5 || a.right > b.right - border + 0.5;
      }"""
    texts = "[...document.querySelectorAll('.chart > svg text')]"
    assert (
        opened.run(f"{texts}.filter(t => ({outside})(t, t.closest('svg'), 0)).map(t => t.textContent)") == []
    )
    marks = "[...document.querySelectorAll('.strip li span')]"
    assert (
        opened.run(f"{marks}.filter(m => ({outside})(m, m.parentElement, 3)).map(m => m.textContent)") == []
    )


def test_a_single_validation_is_a_dot_that_can_be_seen(opened: Page):
    widths = opened.run("[...document.querySelectorAll('.dot')].map(d => getComputedStyle(d).strokeWidth)")
    assert widths == ["7px", "7px"]
    held = "[...document.querySelectorAll('.chart')].filter(c => c.innerText.includes('held-out'))"
    assert all("700" in text for text in opened.run(f"{held}.map(c => c.querySelector('svg').textContent)"))


def test_screenshots_for_a_person_to_look_at(opened: Page, tmp_path: Path):
    """Written to the folder KEYREID_SCREENSHOTS, where it is named."""
    folder = Path(os.environ.get("KEYREID_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    brightness = {}
    for name, width, dark in (("light", 1280, False), ("dark", 1280, True), ("phone", 360, False)):
        opened.size(width, 900, mobile=width < 400)
        opened.dark(dark)
        opened.run("document.querySelectorAll('.card details').forEach((d, i) => d.open = i === 0)")
        opened.settle()
        picture = cv2.imread(str(opened.screenshot(folder / f"report-{name}.png", whole=True)))
        assert picture.shape[1] == width and picture.shape[0] > 3000 and picture.std() > 10
        brightness[name] = picture.mean()
    assert brightness["dark"] < 100 < 150 < brightness["light"]


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_in_light_and_in_dark(opened: Page, dark: bool):
    opened.dark(dark)
    back = opened.run("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") != dark
    ratio, where = opened.run(CONTRAST)
    assert ratio >= 4.5, where


def test_controls_pictures_and_regions_have_names(opened: Page):
    nodes = opened.call("Accessibility.getFullAXTree")["nodes"]
    needed = {"image", "link", "button", "combobox", "searchbox", "region", "table", "meter", "search"}
    nameless = [
        node["role"]["value"]
        for node in nodes
        if not node.get("ignored")
        and node.get("role", {}).get("value") in needed
        and not node.get("name", {}).get("value")
    ]
    assert nameless == []
    seen = {node.get("role", {}).get("value") for node in nodes}
    assert {"image", "combobox", "searchbox", "button", "navigation", "main", "banner"} <= seen


def test_a_picture_of_a_ranking_list_is_played_and_enlarged(opened: Page):
    opened.run("document.querySelector('.card .right .show, .card .wrong .show').focus()")
    opened.press("Enter")
    name = opened.run("document.getElementById('player-title').textContent")
    assert name in opened.run("document.querySelector('.card .strip .name').textContent")
    label = "document.querySelector('#player canvas').getAttribute('aria-label')"
    first = opened.run(label)
    for _ in range(100):
        opened.settle()
        if opened.run(label) != first:
            break
    assert first.startswith(name) and opened.run(label) != first
    assert opened.run("document.querySelector('#player canvas').height") == 128
    small = opened.run("document.querySelector('#player canvas').getBoundingClientRect().height")
    opened.run("[...document.querySelectorAll('#player button')].find(b => b.textContent === 'Zoom').click()")
    assert opened.run("document.querySelector('#player canvas').getBoundingClientRect().height") > small
    opened.press("Escape")
    assert not opened.run("document.getElementById('player').open")


def test_a_row_of_the_table_leads_to_its_ranking_list(opened: Page, evaluated: Evaluated):
    links = "[...document.querySelectorAll('tbody th a')]"
    named = "l => [l.textContent, document.querySelector(l.hash).textContent]"
    pairs = opened.run(f"{links}.map({named})")
    assert len(pairs) == len(evaluated.dataset.query) and all(a == b for a, b in pairs)
    choose(opened, "text", "NO SUCH NAME")
    opened.run(f"{links}[0].click()")
    assert opened.run(f"{VISIBLE}.length") > 0
    opened.settle()
    top = "document.querySelector(document.querySelector('tbody th a').hash).getBoundingClientRect().top"
    assert opened.run(top) >= opened.run("document.getElementById('filters').getBoundingClientRect().bottom")
    opened.open(evaluated.report)
    opened.requests[1:] = []
