"""A student's way: the index, a notebook from top to bottom, and the tracker widget by mouse."""

import csv
import json
import re

import pytest
from actions import PANEL, ROOT, Widget, end_kernels, follow, open_index, run_all, tab, until

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
WITH_WIDGET = [path for path in NOTEBOOKS if "tracker_widget(" in path.read_text("utf-8")]


@pytest.fixture(scope="module")
def opened(page, lab):
    open_index(page, lab)
    return page


@pytest.fixture
def index(opened):
    """Bring the index to the front."""
    opened.locator("#jp-main-dock-panel .lm-TabBar-tabLabel").get_by_text("index.md").click()
    return opened


@pytest.fixture(scope="module", params=WITH_WIDGET, ids=lambda path: path.stem)
def ran(request, page, lab, course):
    """Open a notebook from the index and run it: its path, and as it was saved then."""
    path = course / "notebooks" / request.param.name
    title = json.loads(path.read_text("utf-8"))["cells"][0]["source"][0].strip("# \n")
    end_kernels(page, lab)
    open_index(page, lab, workspace=path.stem)
    follow(page, title, re.escape(title))
    return path, run_all(page, path)


@pytest.fixture
def widget(ran, page):
    """Show the first frame with instances, at the threshold that the notebook set."""
    widget = Widget(page)
    widget.box.scroll_into_view_if_needed()
    widget.frame.scroll_into_view_if_needed()
    before = widget.read(widget.threshold)
    show_instances(widget)
    yield widget
    widget.type_in(widget.threshold, before)


def show_instances(widget):
    for t in range(0, 60, 5):
        show(widget, t)
        if widget.places.count():
            return
    raise AssertionError("no instance in any of the frames")


def show(widget, t):
    if widget.read(widget.frame) != t:
        widget.type_in(widget.frame, t)
        until(lambda: f"frame {t}" in widget.status.inner_text())


def test_make_lab_opens_the_index_of_all_notebooks(opened):
    assert tab(opened) == "index.md"
    links = opened.locator(".jp-RenderedMarkdown td a").all()
    targets = [link.get_attribute("href").split("/")[-1].split("?")[0] for link in links]
    assert targets == [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("n", range(len(NOTEBOOKS)), ids=lambda n: NOTEBOOKS[n].stem)
def test_a_link_of_the_index_opens_its_notebook_and_index_leads_back(index, n):
    link = index.locator(".jp-RenderedMarkdown td a").nth(n).inner_text()
    follow(index, link, f"^{re.escape(link)}")
    assert tab(index) == NOTEBOOKS[n].name
    follow(index, "index", "^The course")
    assert tab(index) == "index.md"


def test_the_index_leads_to_the_readme(index):
    follow(index, "README", "^InstanceID")
    assert tab(index) == "README.md"


def test_all_cells_run_without_error(ran, page):
    _, notebook = ran
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert [output for output in outputs if output["output_type"] == "error"] == []
    assert page.locator(f"{PANEL} .progress-bar-danger").count() == 0  # a bar that did not end


def test_the_frame_slider_changes_the_picture(widget):
    first, start = widget.picture(), int(widget.read(widget.frame))
    last = int(widget.drag(widget.frame, 1.0))
    assert last > start
    until(lambda: f"frame {last}" in widget.status.inner_text())
    assert widget.picture() != first
    show(widget, start)
    until(lambda: widget.picture() == first)


def test_play_runs_through_the_frames_and_pauses(widget):
    start, first = widget.read(widget.frame), widget.picture()
    play = widget.box.locator(".widget-play button").first
    play.click()
    until(lambda: widget.read(widget.frame) >= start + 3)
    until(lambda: widget.picture() != first)
    play.click()
    at = widget.read(widget.frame)
    widget.page.wait_for_timeout(500)
    assert widget.read(widget.frame) <= at + 1


def test_the_threshold_slider_changes_the_ids(widget):
    last = int(widget.drag(widget.frame, 1.0))
    until(lambda: f"frame {last}" in widget.status.inner_text())
    n_ids, titles, picture = widget.number_of_ids(), widget.titles(), widget.picture()
    assert titles
    low = widget.drag(widget.threshold, 0.0)
    assert low < 0.05
    until(lambda: f"threshold {low:.2f}" in widget.status.inner_text())
    n_low = widget.number_of_ids()
    assert n_low > n_ids
    assert not set(titles) & set(widget.titles())  # at the end of the video all are new
    assert widget.picture() != picture
    high = widget.drag(widget.threshold, 1.0)
    assert high > 1.9
    until(lambda: f"threshold {high:.2f}" in widget.status.inner_text())
    assert widget.number_of_ids() <= n_ids < n_low


def test_a_click_tells_why_and_shows_the_nearest_of_the_gallery(widget, ran, screenshot):
    last = int(widget.drag(widget.frame, 1.0))
    until(lambda: f"frame {last}" in widget.status.inner_text())
    for n, title in enumerate(widget.titles()):
        before = widget.picture()
        widget.click(n)
        until(lambda title=title: widget.panel.inner_text().startswith(title))
        assert re.search(r"threshold \d\.\d\d", widget.panel.inner_text())
        assert widget.panel.get_by_text("this segment").count() == 1
        shown = re.findall(r"^(.+): (\d\.\d\d)$", widget.panel.inner_text(), re.MULTILINE)
        assert len(shown) == widget.panel.locator("img").count() - 1 > 0
        assert [float(d) for _, d in shown] == sorted(float(d) for _, d in shown)
        until(lambda before=before: widget.picture() != before)  # an outline
    screenshot(ran[0].stem)


def test_merge_name_undo_and_save_by_hand(widget, course, ran):
    widget.type_in(widget.threshold, 0.01)
    until(lambda: "threshold 0.01" in widget.status.inner_text())
    name = widget.places.first.get_attribute("title")
    widget.click(0)
    until(lambda: widget.panel.inner_text().startswith(name))
    n_ids = widget.number_of_ids()
    options = widget.box.locator("select option")
    other = options.last.get_attribute("value")  # of the last frame
    widget.box.locator("select").select_option(other)
    widget.press("Merge")
    until(lambda: f"{other} is {name} from now on" in widget.status.inner_text())
    assert widget.number_of_ids() == n_ids - 1
    widget.box.locator("input[type=text]").fill("first of all")
    widget.press("Name")
    until(lambda: "is called first of all" in widget.status.inner_text())
    assert "first of all" in widget.titles()
    widget.press("Save")
    until(lambda: "Saved in" in widget.status.inner_text())
    (folder,) = (course / "runs").glob(f"{ran[0].stem}/**/edits.json")
    edits = json.loads(folder.read_text("utf-8"))
    assert [kind for kind, *_ in edits["edits"]][-2:] == ["merge", "name"]
    lines = list(csv.DictReader(folder.with_name("ids.csv").open(encoding="utf-8")))
    named = [line for line in lines if line["name"] == "first of all"]
    assert len({line["frame"] for line in named}) > 1
    widget.press("Undo")
    until(lambda: "Taken back" in widget.status.inner_text())
    assert "first of all" not in widget.titles()
    widget.press("Undo")
    until(lambda: widget.number_of_ids() == n_ids)
