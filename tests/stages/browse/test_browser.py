"""The page in a real browser, without network: people, player, filters, keys, phone width, dark, names."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stages.browse.conftest import Linked
from tests.stages.browser import CONTRAST, Page

ROWS = "[...document.querySelectorAll('.row')].filter(e => !e.hidden)"
FOCUS = "document.activeElement.dataset.item || document.activeElement.id || document.activeElement.tagName"


@pytest.fixture
def opened(page: Page, linked: Linked) -> Iterator[Page]:
    """The page of people. After each test: no error, and nothing asked for outside of the folder."""
    page.trouble.clear()
    page.requests.clear()
    page.size(1400, 900)
    page.dark(False)
    page.open(linked.page)
    page.settle()
    yield page
    page.settle()
    assert page.trouble == []
    inside = linked.page.parent.as_uri() + "/"
    assert all(url.startswith((inside, "data:")) for url in page.requests)


def choose(page: Page, name: str, value: str) -> None:
    page.run(
        f"(() => {{ const c = document.querySelector('[data-filter={name}]'); c.value = {value!r};"
        "c.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    page.settle()


def wait_for(page: Page, script: str) -> None:
    for _ in range(200):
        if page.run(script):
            return
        page.settle()
    raise AssertionError(script)


def play(page: Page, number: int) -> None:
    page.run(f"document.querySelectorAll('.row .thumb')[{number}].click()")
    wait_for(page, "document.querySelector('#panel canvas').height === 160")


def test_people_are_rows_with_a_timeline_over_cameras(opened: Page, linked: Linked):
    assert opened.run(f"{ROWS}.length") == len(set(linked.gallery.persons.tolist()))
    wait_for(opened, "document.querySelectorAll('.row.built').length > 0")
    of_lane = "e => [e.textContent, e.querySelectorAll('.bar').length]"
    lanes = opened.run(f"[...{ROWS}[0].querySelectorAll('.lane')].map({of_lane})")
    assert [name for name, _ in lanes] == ["camera 1", "camera 2"]
    thumbs = opened.run(f"{ROWS}[0].querySelectorAll('.thumb').length")
    assert sum(bars for _, bars in lanes) == thumbs
    assert opened.run(
        "[...document.querySelectorAll('.thumb img')].every(i => i.loading === 'lazy' && i.alt === '')"
    )
    assert opened.run("performance.getEntriesByName('keyreid-open').length") == 1


def test_a_click_plays_the_tracklet_and_marks_its_time(opened: Page):
    play(opened, 1)
    label = "document.querySelector('#panel canvas').getAttribute('aria-label')"
    first = opened.run(label)
    wait_for(opened, f"{label} !== {first!r}")
    assert opened.run("getComputedStyle(document.querySelector('.track'), '::after').width") == "2px"
    chosen = "document.querySelector('.row .thumb.chosen')"
    time = opened.run("document.querySelector('#axis .now').textContent")
    assert time in opened.run(f"{chosen}.getAttribute('aria-label')")
    assert opened.run(f"document.querySelector('.bar.chosen').dataset.item === {chosen}.dataset.item")
    assert opened.run("document.querySelectorAll('#panel .parts canvas').length") == 6
    assert opened.run("[...document.querySelectorAll('#panel .parts canvas')].every(c => c.width === 80)")
    near = opened.run("[...document.querySelectorAll('#panel .strip .thumb')].map(e => e.dataset.item)")
    assert len(near) == 5
    opened.run("document.querySelector('#panel .strip .thumb').click()")
    assert opened.run("[...document.querySelectorAll('.chosen')].every(e => e.dataset.item)")
    assert opened.run("document.querySelector('.chosen').dataset.item") == near[0]


def test_filters_leave_what_matches_and_say_how_many(opened: Page, linked: Linked):
    everything = opened.run(f"{ROWS}.length")
    choose(opened, "camera", "1")
    wait_for(opened, "document.querySelectorAll('.row.built .thumb').length > 0")
    assert set(opened.run("[...document.querySelectorAll('.row .thumb .cam')].map(e => e.textContent)")) == {
        "camera 2"
    }
    of = int((linked.gallery.camera_names == "2").sum())
    assert f"{of} of {len(linked.gallery)} tracklets" in opened.run(
        "document.getElementById('shown').textContent"
    )
    choose(opened, "text", "NO SUCH NAME")
    assert opened.run(f"{ROWS}.length") == 0 and opened.run("!document.getElementById('empty').hidden")
    opened.run("document.querySelector('#filters button').click()")
    wait_for(opened, f"{ROWS}.length === {everything}")
    choose(opened, "confidence", "0.95")
    sure = opened.run("document.getElementById('shown').textContent")
    assert (
        sure
        != f"{everything} of {everything} people, {len(linked.gallery)} of {len(linked.gallery)} tracklets"
    )
    choose(opened, "confidence", "0")
    choose(opened, "to", opened.run("document.querySelector('[data-filter=from]').min"))
    assert opened.run(f"{ROWS}.length") == 1


def test_the_page_is_worked_by_keyboard_alone(opened: Page):
    opened.press("Tab")
    assert opened.run("document.activeElement.className") == "skip"
    opened.press("Enter")
    opened.press("Tab")
    first = opened.run(FOCUS)
    opened.press("ArrowRight")
    second = opened.run(FOCUS)
    opened.press("ArrowDown")
    below = opened.run(FOCUS)
    assert len({first, second, below}) == 3
    assert opened.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    opened.press("ArrowUp")
    assert opened.run(FOCUS) == second
    opened.press("Enter")
    wait_for(opened, "document.querySelector('#panel canvas').height === 160")
    assert opened.run(FOCUS) == "panel-title"
    opened.press("ArrowRight")
    assert opened.run("document.querySelector('#panel .controls button').textContent").endswith("Play")
    opened.press("n")
    assert opened.run("document.querySelector('.row .thumb.chosen').dataset.item") != second
    opened.press("Escape")
    assert opened.run(
        "document.getElementById('panel').hidden && document.activeElement.className.includes('thumb')"
    )


def test_nothing_sticks_out_at_phone_width(opened: Page, linked: Linked):
    opened.size(360, 740, mobile=True)
    opened.open(linked.page)
    opened.settle()
    assert not opened.run("document.getElementById('filter-box').open")
    opened.run("document.getElementById('filter-box').open = true")
    assert opened.run("document.documentElement.scrollWidth") <= 360
    play(opened, 0)
    assert opened.run(
        "document.getElementById('panel').scrollWidth <= document.getElementById('panel').clientWidth"
    )


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(opened: Page, dark: bool):
    opened.dark(dark)
    play(opened, 0)
    back = opened.run("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") != dark
    ratio, where = opened.run(CONTRAST)
    assert ratio >= 4.5, where


def test_controls_pictures_and_regions_have_names(opened: Page):
    play(opened, 0)
    nodes = [n for n in opened.call("Accessibility.getFullAXTree")["nodes"] if not n.get("ignored")]
    roles = {"image", "button", "combobox", "searchbox", "slider", "region", "complementary", "search"}
    assert [n for n in nodes if n["role"]["value"] in roles and not n.get("name", {}).get("value")] == []
    assert {"image", "button", "slider", "complementary"} <= {n["role"]["value"] for n in nodes}


def test_screenshots_for_a_person_to_look_at(opened: Page, tmp_path: Path):
    """Written to the folder KEYREID_SCREENSHOTS, where it is named."""
    folder = Path(os.environ.get("KEYREID_SCREENSHOTS", tmp_path))
    play(opened, 2)
    assert opened.screenshot(folder / "people.png").stat().st_size > 10_000
