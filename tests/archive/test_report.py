import json
import re

import numpy as np

from instanceid_utils.archive import Archive, report
from instanceid_utils.archive.report import write_report
from tests.small_archives import make_archive

HOSTILE = "</script><img src=x onerror=alert(1)><!--\u2028&amp;{{script}}.mp4"


def page_of(folder):
    text = write_report(Archive(folder)).read_text(encoding="utf-8")
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    return text, json.loads(found[1])


def rename(folder, n, name):
    index = json.loads((folder / "archive.json").read_text())
    index["videos"][n]["source"] = name
    (folder / "archive.json").write_text(json.dumps(index))


def test_it_says_what_the_tables_say(tmp_path):
    folder = make_archive(tmp_path / "a")
    text, data = page_of(folder)
    assert data["n_identities"] == 4
    assert [v["name"] for v in data["videos"]] == ["gate.mp4", "hall.mp4", "yard.mp4"]
    assert [v["seconds"] for v in data["videos"]] == [6.0, 4.0, 4.0]
    seen = [
        (one["id"], data["videos"][s["video"]]["name"][:4], s["local"])
        for one in data["identities"]
        for s in one["sightings"]
    ]
    assert seen == [(s.identity, s.video[:4], s.local_id) for s in Archive(folder).sightings()]
    assert all(one["views"] for one in data["identities"])
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    assert write_report(Archive(folder)).read_text(encoding="utf-8") == text


def test_a_hostile_name_stays_a_name(tmp_path):
    folder = make_archive(tmp_path / "a")
    rename(folder, 1, HOSTILE)
    text, data = page_of(folder)
    assert data["videos"][1]["name"] == HOSTILE.rpartition("/")[2]
    assert text.lower().count("</script>") == 2 and "onerror" in text and "<img src=x" not in text


def test_it_stays_small(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    videos = {f"v{n}-{n:012d}": list(1 + rng.permutation(40)[:20]) for n in range(6)}
    folder = make_archive(tmp_path / "a", videos={k: list(map(int, v)) for k, v in videos.items()})
    _, whole = page_of(folder)
    monkeypatch.setattr(report, "MAX_IDENTITIES", 10)
    monkeypatch.setattr(report, "MAX_SIGHTINGS", 2)
    monkeypatch.setattr(report, "MAX_PICTURE_BYTES", 5_000)
    text, data = page_of(folder)
    assert data["n_identities"] == whole["n_identities"] == len(whole["identities"])
    shown = data["identities"]
    assert len(shown) == 10 and all(len(one["sightings"]) <= 2 for one in shown)
    frames = {one["id"]: sum(s["frames"] for s in one["sightings"]) for one in whole["identities"]}
    least = min(frames[one["id"]] for one in shown)
    assert least >= max(f for i, f in frames.items() if i not in [one["id"] for one in shown])
    views = [view for one in shown for view in one["views"]]
    assert views and sum(map(len, views)) <= 5_000
    assert max(len(o["views"]) for o in shown) - min(len(o["views"]) for o in shown) <= 1
