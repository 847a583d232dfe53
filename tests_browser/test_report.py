"""The report of an archive, as somebody opens it who has the file and nothing else."""

import json
import sys

import pytest
from actions import ROOT, until

sys.path.insert(0, str(ROOT))
from instanceid_utils.archive import Archive, write_report  # noqa: E402
from tests.small_archives import make_archive  # noqa: E402

HOSTILE = "yard<img src=x onerror=\"document.title='hit'\"></script><script>document.title='hit'"


@pytest.fixture(scope="module")
def report(page, tmp_path_factory):
    """Open a report in which one video has a hostile name; gives the page and what it asked for."""
    folder = make_archive(tmp_path_factory.mktemp("archive") / "a")
    index = json.loads((folder / "archive.json").read_text())
    index["videos"][2]["source"] = HOSTILE.replace("/", "\u2215")
    (folder / "archive.json").write_text(json.dumps(index))
    address = write_report(Archive(folder)).as_uri()
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: line.type == "error" and errors.append(line.text))
    page.goto(address)
    yield page, address, asked, errors
    assert {url for url in asked if not url.startswith(("data:", address))} == set()
    assert errors == []


@pytest.fixture
def opened(report):
    page, address, *_ = report
    page.get_by_label("Find").fill("")
    return page


def cards(page):
    return [card.get_attribute("data-id") for card in page.locator(".card").all()]


def search(page, text):
    page.get_by_label("Find").fill(text)
    return cards(page)


def test_all_are_shown_with_pictures(opened):
    assert cards(opened) == ["1", "2", "3", "4"]
    widths = "images => images.map(image => image.naturalWidth)"
    assert min(opened.locator(".card img").evaluate_all(widths)) > 50
    assert opened.locator("#count").inner_text() == "4 of 4 identities"
    assert opened.locator(".track").count() == 3


def test_a_click_shows_where_it_was(opened):
    opened.locator(".card[data-id='2']").click()
    assert opened.locator("#detail h2").inner_text() == "Identity 2"
    rows = [row.inner_text().split() for row in opened.locator("#detail tr").all()[1:]]
    assert [(row[0], row[1]) for row in rows] == [("gate.mp4", "2"), ("hall.mp4", "1")]
    assert rows[0][2] == "00:02.0"
    assert opened.locator(".track").count() == 2
    assert opened.url.endswith("#2")
    opened.locator(".card[data-id='2']").click()
    assert opened.locator(".track").count() == 3


def test_a_bar_of_the_timeline_can_be_clicked(opened):
    opened.locator("rect[data-id='4']").click()
    assert opened.locator("#detail h2").inner_text() == "Identity 4"


def test_search_by_number_and_by_video(opened):
    assert search(opened, "3") == ["3"]
    assert search(opened, "HALL") == ["2", "4"]
    opened.get_by_label("Find").press("Enter")
    assert opened.locator("#detail h2").inner_text() == "Identity 2"
    assert search(opened, "nobody") == []
    assert opened.locator("#count").inner_text() == "0 of 4 identities"


def test_a_hostile_name_is_shown_and_does_nothing(opened):
    opened.locator(".card[data-id='3']").click()
    shown = opened.locator("#detail td").all_inner_texts()
    assert HOSTILE.replace("/", "\u2215") in shown
    until(lambda: opened.evaluate("document.readyState") == "complete")
    assert opened.title() == "Identities of an archive"
    assert opened.locator("img[src=x]").count() == 0


def test_a_link_to_an_identity(report):
    page, address, *_ = report
    page.goto("about:blank")
    page.goto(f"{address}#4")
    assert page.locator("#detail h2").inner_text() == "Identity 4"
