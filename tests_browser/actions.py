"""What a person does in JupyterLab: open, run, save, look; and with the tracker widget."""

import json
import re
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MINUTE = 60_000  # Playwright counts in milliseconds
PANEL = ".jp-MainAreaWidget:visible"


def until(condition, seconds=20):
    """Wait until a condition holds, and return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"still false after {seconds} s"
        time.sleep(0.1)
    return value


def open_index(page, lab, workspace=""):
    """Open the address that `make lab` opens, or the same page in a workspace of its own."""
    path = f"/lab/workspaces/{workspace}/tree/notebooks/index.md" if workspace else "/"
    page.goto(f"{lab.url}{path}?token={lab.token}")
    page.locator(f"{PANEL} .jp-RenderedMarkdown h1").wait_for(timeout=MINUTE)


def follow(page, link, heading):
    """Click a link on the page shown, and wait for the heading of the page that it opens."""
    page.locator(PANEL).get_by_role("link", name=link, exact=True).first.click()
    shown = page.locator(PANEL).get_by_role("heading", name=re.compile(heading), level=1)
    shown.first.wait_for(timeout=MINUTE)


def tab(page):
    """Return the name of the tab in front."""
    return page.locator("#jp-main-dock-panel .lm-TabBar-tab.jp-mod-current").inner_text().strip()


def run_all(page, path, minutes=10):
    """Run all cells of the notebook in front, save it, and return it as it stands on disk."""
    status = page.locator("#jp-main-statusbar")
    status.get_by_text("| Idle").wait_for(timeout=MINUTE)
    _choose(page, "Run", "Run All Cells")
    indicator = page.locator(f"{PANEL} .jp-Notebook-ExecutionIndicator")
    page.locator(f"{PANEL} .jp-Notebook-ExecutionIndicator[data-status=busy]").wait_for()
    until(lambda: indicator.get_attribute("data-status") == "idle", 60 * minutes)
    before = path.stat().st_mtime_ns
    _choose(page, "File", "Save Notebook")
    return until(lambda: path.stat().st_mtime_ns > before and _whole(path))


def _whole(path):
    """Return a JSON file, None while it is being written."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return None


def _choose(page, menu, item):
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()


def end_kernels(page, lab):
    """End all kernels, as leaving a page lets them run on."""
    address, token = f"{lab.url}/api/sessions", {"Authorization": f"token {lab.token}"}
    for session in page.request.get(address, headers=token).json():
        page.request.delete(f"{address}/{session['id']}", headers=token)


# The middle one of the points, 2 pixels apart, at which an element is what the mouse would meet.
_POINT = """element => {
    const box = element.getBoundingClientRect(), found = [];
    for (let y = box.top + 1; y < box.bottom; y += 2)
        for (let x = box.left + 1; x < box.right; x += 2)
            if (document.elementFromPoint(x, y) === element) found.push([x, y]);
    return found[found.length >> 1];
}"""


class Widget:
    """The tracker widget on the page."""

    def __init__(self, page):
        self.page = page
        self.box = page.locator(f"{PANEL} .jp-OutputArea-output:has(.widget-gridbox)").first
        self.frame, self.threshold = (self.box.locator(".widget-slider").nth(n) for n in (0, 1))
        self.places = self.box.locator(".widget-gridbox button:visible")
        texts = self.box.locator(".widget-vbox > .widget-html .widget-html-content")
        self.panel, self.status = (texts.nth(n) for n in (0, 1))

    def picture(self):
        """Return the bytes of the picture shown."""
        source = "async image => [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())]"
        return bytes(self.box.locator("img.widget-image").evaluate(source))

    def titles(self):
        """Return what the instances of this frame are called."""
        return [place.get_attribute("title") for place in self.places.all()]

    def click(self, n):
        """Click an instance, where the mouse meets it and no other that lies over it."""
        point = self.places.nth(n).evaluate(_POINT)
        assert point, f"{self.titles()[n]} cannot be clicked"
        self.page.mouse.click(*point)

    def number_of_ids(self):
        """Return how many IDs there are to choose from, that of the selected instance too."""
        selected = self.panel.locator("img").count() > 0
        return self.box.locator("select option").count() + selected

    def press(self, button):
        """Press one of the buttons below."""
        self.box.get_by_role("button", name=button, exact=True).click()

    def read(self, slider):
        """Return the number that a slider shows."""
        return float(slider.locator(".widget-readout").inner_text())

    def type_in(self, slider, value):
        """Type a value into the number beside a slider."""
        readout = slider.locator(".widget-readout")
        readout.click()
        readout.press("Control+A")
        readout.type(str(value))
        readout.press("Enter")

    def drag(self, slider, share):
        """Drag a slider with the mouse to a share of its length, and return what it shows."""
        handle, track = slider.locator(".noUi-handle"), slider.locator(".noUi-base")
        handle.scroll_into_view_if_needed()
        grip, way = handle.bounding_box(), track.bounding_box()
        x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(way["x"] + share * way["width"], y, steps=5)
        self.page.mouse.up()
        return self.read(slider)
