"""Make the book: ``make book``. Collects its pages, and builds them with warnings as errors.

The pages are those of the repository, at the places that their links to each other expect.
"""

import argparse
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "data/README.md")
PICTURES = ("docs/*.png", "docs/*.gif", "docs/*.svg")
FOLDERS = ("notebooks/*.ipynb", "notebooks/*.md", "docs/*.md", *PICTURES)
_LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^)\s]+)\)")
INDEX = """# InstanceID

```{include} README.md
:start-after: "# InstanceID"
```

```{toctree}
:hidden:
:caption: The course

notebooks/index
%(notebooks)s
docs/teaching
docs/online
```

```{toctree}
:hidden:
:caption: The package

docs/scaling
benchmarks/README
data/README
api/instanceid_utils/index
CONTRIBUTING
CHANGELOG
README
```
"""


def collect(target):
    """Copy all pages into a folder, and write the index that joins them."""
    shutil.rmtree(target, ignore_errors=True)
    files = [ROOT / name for name in PAGES]
    files += [path for pattern in FOLDERS for path in sorted(ROOT.glob(pattern))]
    for path in files:
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".md", ".ipynb"):
            text = without_dead_links(path.read_text("utf-8"), path.parent, set(files))
            copy.write_text(text, "utf-8")
        else:
            shutil.copy(path, copy)
    shutil.copy(ROOT / "docs/book/conf.py", target / "conf.py")
    conf = (target / "conf.py").read_text("utf-8")
    conf = conf.replace("Path(__file__).resolve().parents[2]", f"Path({str(ROOT)!r})")
    (target / "conf.py").write_text(conf, "utf-8")
    notebooks = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
    listed = "\n".join(f"notebooks/{name}" for name in notebooks)
    (target / "index.md").write_text(INDEX % {"notebooks": listed}, "utf-8")


def without_dead_links(text, folder, pages):
    """Leave only the text of links to files that the book does not hold: scripts, results."""

    def kept(match):
        target = unquote(urlsplit(match[2]).path)
        outside = not target or "://" in match[2] or match[2].startswith("mailto:")
        return match[0] if outside or (folder / target).resolve() in pages else match[1]

    return _LINK.sub(kept, text)


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.anchors = [], set()

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.anchors.update(told[key] for key in ("id", "name") if told.get(key))
        self.links += [told[key] for key in ("href", "src") if told.get(key)]


def broken_links(folder):
    """Links between the pages of the book that lead nowhere, as "page: link"."""
    pages = {}
    for path in folder.rglob("*.html"):
        pages[path] = _Links()
        pages[path].feed(path.read_text("utf-8"))
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            known = pages[target].anchors if target in pages else ()
            if not target.exists() or (anchor and target in pages and anchor not in known):
                broken.append(f"{path.relative_to(folder)}: {link}")
    return broken


def main():
    """Build the book; the exit code is 1 if a page has a warning or a broken link."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/book")
    options = parser.parse_args()
    pages, html = options.out / "pages", options.out / "html"
    collect(pages)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    built = subprocess.run([*command, str(pages), str(html)], check=False)
    broken = broken_links(html) if html.exists() else ["no page was built"]
    for line in broken:
        print(f"broken link: {line}", file=sys.stderr)
    if built.returncode or broken:
        return 1
    print(f"{html / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
