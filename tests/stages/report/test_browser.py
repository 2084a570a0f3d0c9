"""The page in a real browser, without network: filters, keyboard, phone width, dark, names, contrast."""

import pytest

from tests.stages.report.browser import Page
from tests.stages.report.conftest import Evaluated

VISIBLE = "[...document.querySelectorAll('[data-item=cards]')].filter(e => e.offsetParent !== null)"
CONTRAST = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (c) => {
    const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const back = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c[3] > 0) return c;
    }
    return [255, 255, 255, 255];
  };
  let worst = [99, ''];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.offsetParent === null && !(e instanceof SVGElement)) continue;
    const style = getComputedStyle(e);
    const colour = rgb(e instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(colour), light(back(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 80)];
  }
  return worst;
})()
"""


@pytest.fixture
def opened(page: Page, evaluated: Evaluated) -> Page:
    page.trouble.clear()
    page.requests.clear()
    page.size(1280, 900)
    page.dark(False)
    page.open(evaluated.report)
    return page


def choose(page: Page, name: str, value: str) -> None:
    page.run(
        f"(() => {{ const c = document.querySelector('[data-filter={name}]'); c.value = {value!r};"
        "c.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def test_the_page_opens_without_an_error_and_asks_for_nothing(opened: Page):
    assert opened.trouble == []
    assert [url for url in opened.requests if not url.startswith(("data:", "file:"))] == []
    assert len([url for url in opened.requests if url.startswith("file:")]) == 1
    assert opened.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_filters_leave_what_matches_and_say_how_many(opened: Page):
    everything = opened.run(f"{VISIBLE}.length")
    camera = opened.run("document.querySelector('[data-filter=camera]').options[1].value")
    choose(opened, "camera", camera)
    shown = opened.run(f"{VISIBLE}.map(e => e.dataset.camera)")
    assert 0 < len(shown) < everything and set(shown) == {camera}
    rows = opened.run("[...document.querySelectorAll('[data-item=rows]')].filter(e => !e.hidden).length")
    told = opened.run("document.getElementById('shown').textContent")
    assert told.startswith(f"{len(shown)} of {everything} ") and f" {rows} of " in told
    choose(opened, "text", "NO SUCH NAME")
    assert opened.run(f"{VISIBLE}.length") == 0
    opened.run("document.getElementById('clear').click()")
    assert opened.run(f"{VISIBLE}.length") == everything


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
