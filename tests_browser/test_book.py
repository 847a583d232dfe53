"""The book as `make book` builds it, opened in Chromium: pages, figures, search."""

import pytest
from actions import ROOT
from playwright.sync_api import expect

BOOK = ROOT / "build/book/html"

pytestmark = pytest.mark.skipif(
    not (BOOK / "index.html").exists(), reason="there is no book yet: make book"
)


def test_from_the_index_to_a_notebook_with_its_figures(page):
    page.goto((BOOK / "index.html").as_uri())
    page.get_by_role("link", name="5. Track with FAISS").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("5. Track with FAISS")
    figures = page.locator("article img")
    assert figures.count() >= 3
    widths = figures.evaluate_all("pictures => pictures.map(p => p.naturalWidth)")
    assert min(widths) > 100


def test_the_api_is_there_and_can_be_found(page):
    page.goto((BOOK / "search.html").as_uri() + "?q=InstanceID.update")
    found = page.locator("ul.search li a").first
    expect(found).to_be_visible(timeout=20_000)
    page.goto((BOOK / "api/instanceid_utils/tracking/tracker/index.html").as_uri())
    expect(page.get_by_text("Give every object of the next frame its ID.")).to_be_visible()


def test_a_solution_is_folded_and_opens(page):
    page.goto((BOOK / "notebooks/07_your_own_video.html").as_uri())
    solution = page.locator("details.hide", has_text="# Solution 1").first
    code = solution.locator("pre").first
    expect(code).to_be_hidden()
    solution.locator("summary").click()
    expect(code).to_be_visible()


def test_the_course_is_drawn_on_its_index(page):
    page.goto((BOOK / "notebooks/index.html").as_uri())
    drawn = page.get_by_role("img", name="What each notebook makes and hands on")
    expect(drawn).to_be_visible()
    assert drawn.evaluate("picture => picture.naturalWidth") > 1000
