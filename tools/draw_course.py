"""Draw docs/course.svg: what each notebook makes, and what it hands on to which other."""

import html
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs/course.svg"

WIDTH, HEIGHT = 1200, 768  # of the picture
BOX_WIDTH, BOX_HEIGHT = 236, 158
LEFT = (30, 331, 632, 933)  # sides of the boxes
UPPER, LOWER, LAST = 92, 336, 580  # tops of their rows
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#8059a5"
INK, GREY, LINE, PAPER = "#22303c", "#5f6f7d", "#b8c4ce", "#ffffff"

#: Left and top of each notebook's box, what it makes in two lines, and its colour.
BOXES = {
    1: (LEFT[0], UPPER, "crops of every instance,", "and where each is from", BLUE),
    2: (LEFT[1], UPPER, "the same crops in a few", "files that MNIST tools read", BLUE),
    3: (LEFT[2], UPPER, "a network that puts views", "of one instance together", ORANGE),
    4: (LEFT[3], UPPER, "maps of what it learned,", "and a threshold", ORANGE),
    5: (LEFT[3], LOWER, "lasting IDs: a tracked", "video, and why", GREEN),
    6: (LEFT[2], LOWER, "how good the embedding is,", "and how sure that is", ORANGE),
    7: (LEFT[1], LOWER, "a video of your own,", "tracked and put right", GREEN),
    8: (LEFT[0], LOWER, "one set of identities", "for a folder of videos", PURPLE),
    9: (LEFT[3], LAST, "a gallery that is trusted,", "kept and corrected", PURPLE),
}
#: A path, the label on it, where that stands, and whether files are handed on or only the idea.
ARROWS = (
    ("M266 171 H323", "crops", 297, 162, True),
    ("M567 171 H624", "IDX files", 599, 162, True),
    ("M868 171 H925", "weights", 900, 162, True),
    ("M148 92 V68 H1051 V84", "crops of identities that no training saw", 600, 60, True),
    ("M1051 250 V328", "your weights and threshold", 1051, 293, True),
    ("M800 250 V328", "your weights", 800, 293, True),
    ("M148 250 V289 H700 V328", "crops", 424, 282, True),
    ("M1010 494 V520 H449 V502", "the tracker, in one call", 750, 538, False),
    ("M1090 494 V572", "the tracker, in the long run", 1060, 552, False),
    ("M331 415 H274", "for many", 298, 406, False),
)
#: Ways through the course, by the time or the wish that one has.
WAYS = {
    "everything, in order: six hours": (1, 2, 3, 4, 5, 6, 7, 8, 9),
    "the idea, in two hours": (1, 3, 4, 5),
    "a video of your own first": (7, 5, 9),
    "a folder full of videos": (7, 8),
}


def titles():
    """Titles of the notebooks by number, as their first cells have them."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        found[int(path.name[:2])] = "".join(cells[0]["source"]).splitlines()[0].split(". ")[1]
    return found


def dot(x, y, radius, colour, more=""):
    """Draw a filled circle."""
    return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{colour}" {more}/>'


def bar(x, y, width, height, colour, more=""):
    """Draw a filled rectangle with round corners."""
    size = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    return f'<rect {size} rx="2" fill="{colour}" {more}/>'


def line(path, colour, more=""):
    """Draw a path of lines and curves."""
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2" {more}/>'


def words(x, y, text, size, colour=INK, more='text-anchor="middle"'):
    """Write one line."""
    text = html.escape(str(text))
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" {more}>{text}</text>'


def film(x, y, width, height):
    """Draw a strip of film."""
    holes = [
        bar(x + 5 + i * 11, y + dy, 5, 3, PAPER)
        for i in range(int((width - 5) // 11))
        for dy in (3, height - 6)
    ]
    return bar(x, y, width, height, INK) + "".join(holes)


def icon(number):
    """Draw what a notebook makes, in a field of 120 x 48."""
    if number == 1:
        colours = (BLUE, ORANGE, GREEN, PURPLE)
        return "".join(
            bar(8 + i * 27, 4 + j * 24, 20, 20, "#e6ebef") + dot(18 + i * 27, 14 + j * 24, 6, c)
            for i, c in enumerate(colours)
            for j in range(2)
        )
    if number == 2:
        rows = ("00 00 08 03", "00 00 05 a7", "00 00 00 1c")
        mono = 'font-family="monospace" text-anchor="middle"'
        return bar(8, 0, 104, 48, "#e6ebef") + "".join(
            words(60, 14 + i * 15, row, 12, BLUE, mono) for i, row in enumerate(rows)
        )
    if number == 3:
        pull = line("M60 26 L34 36", GREEN) + line(
            "M60 26 L106 8", ORANGE, 'stroke-dasharray="4 3"'
        )
        return pull + dot(60, 26, 8, BLUE) + dot(32, 37, 8, BLUE) + dot(108, 8, 8, ORANGE)
    if number == 4:
        same = line("M4 46 C24 46 26 6 40 6 S56 46 76 46", BLUE)
        other = line("M44 46 C64 46 68 12 84 12 S100 46 118 46", ORANGE)
        return same + other + line("M60 0 V48", INK, 'stroke-dasharray="4 3"')
    if number == 5:
        ids = ((34, 30, BLUE, "1"), (62, 20, ORANGE, "2"), (90, 32, GREEN, "3"))
        drawn = (dot(x, y, 10, c) + words(x, y + 4, n, 12, PAPER) for x, y, c, n in ids)
        return bar(10, 0, 100, 48, "#e6ebef") + "".join(drawn)
    if number == 6:
        rows = ((30, 22, GREY), (62, 30, BLUE), (84, 24, ORANGE))
        return "".join(
            line(f"M{x - half} {8 + i * 16} H{x + half}", LINE) + dot(x, 8 + i * 16, 5, colour)
            for i, (x, half, colour) in enumerate(rows)
        )
    if number == 7:
        return film(10, 0, 100, 48) + f'<path d="M50 13 L76 24 L50 35 Z" fill="{GREEN}"/>'
    if number == 9:
        ids = ((18, BLUE, "1"), (60, ORANGE, "4"), (102, BLUE, "1"))
        drawn = (dot(x, 24, 12, c) + words(x, 28, n, 12, PAPER) for x, c, n in ids)
        return "".join(drawn) + words(39, 29, "+", 16) + words(81, 29, "=", 16)
    ends = ((14, BLUE), (60, ORANGE), (106, GREEN))
    strips = "".join(film(x - 14, 0, 30, 20) for x, _ in ends)
    joined = "".join(line(f"M{x} 22 L60 38", GREY) for x, _ in ends)
    return strips + joined + dot(60, 40, 8, PURPLE)


def box(number, title):
    """Draw the box of a notebook."""
    left, top, first, second, colour = BOXES[number]
    middle = left + BOX_WIDTH / 2
    size = f'width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="10"'
    parts = (
        f'<rect x="{left}" y="{top}" {size} fill="{PAPER}" stroke="{colour}" stroke-width="2"/>',
        dot(left + 22, top + 22, 13, colour),
        words(left + 22, top + 27, number, 15, PAPER, 'text-anchor="middle" font-weight="bold"'),
        words(left + 42, top + 27, title, 13, INK, 'font-weight="bold"'),
        f'<g transform="translate({middle - 60} {top + 48})">{icon(number)}</g>',
        words(middle, top + 122, first, 13.5, GREY),
        words(middle, top + 140, second, 13.5, GREY),
    )
    return "\n".join(parts)


def arrow(path, label, x, y, handed_on):
    """Draw an arrow with its label on a patch of paper."""
    colour, dash = (INK, "") if handed_on else (GREY, 'stroke-dasharray="6 4" ')
    half = 3.6 * len(label) + 4
    patch = bar(x - half, y - 11, 2 * half, 15, PAPER, 'opacity="0.9"') if len(label) > 9 else ""
    head = f'{dash}marker-end="url(#head)"'
    return line(path, colour, head) + patch + words(x, y, label, 13, colour)


def ways():
    """Draw the ways through the course, a line each, where the last row has room."""
    parts = [words(LEFT[0], LAST + 22, "Ways through", 15, INK, 'font-weight="bold"')]
    for row, (name, numbers) in enumerate(WAYS.items()):
        y = LAST + 52 + 32 * row
        parts.append(words(LEFT[0], y, name, 13.5, GREY, ""))
        parts.append(line(f"M{LEFT[1]} {y - 5} H{LEFT[1] + 44 * (len(numbers) - 1)}", LINE))
        for place, number in enumerate(numbers):
            x = LEFT[1] + 44 * place
            parts.append(dot(x, y - 5, 11, BOXES[number][-1]) + words(x, y, number, 13, PAPER))
    return "\n".join(parts)


def draw():
    """Return the picture as SVG."""
    names = titles()
    place = 'orient="auto" markerWidth="7" markerHeight="7" refX="6" refY="4" viewBox="0 0 8 8"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="Helvetica, Arial, sans-serif" role="img">',
        "<title>The course: what each notebook makes and hands on</title>",
        f'<defs><marker id="head" {place}><path d="M0 0 L8 4 L0 8 Z" fill="{INK}"/></marker>',
        "</defs>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="12" fill="{PAPER}"/>',
        words(32, 34, "From masks to lasting identities", 19, INK, 'font-weight="bold"'),
        words(1168, 34, "solid: files handed on; dashed: the idea", 13, GREY, 'text-anchor="end"'),
        *(arrow(*one) for one in ARROWS),
        *(box(number, names[number]) for number in BOXES),
        ways(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    TARGET.write_text(draw(), "utf-8")
    print(TARGET)
