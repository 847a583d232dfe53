import matplotlib.pyplot as plt
import pytest

from instanceid_utils.archive import Archive, compare_sightings, explaining, plot_joins
from tests.small_archives import make_archive


def test_the_same_are_nearer_than_others(tmp_path):
    archive = Archive(make_archive(tmp_path / "a"))
    who = {(s.video, s.local_id): s.identity for s in archive.sightings()}
    pairs = compare_sightings(archive)
    assert len(pairs) == 21 and not any(p.meet for p in pairs)  # one after the other
    same = [who[p.one] == who[p.other] for p in pairs]
    assert sum(same) == 3
    near = max(p.distance for p, s in zip(pairs, same) if s)
    assert near < 0.5 < min(p.distance for p, s in zip(pairs, same) if not s)
    fig = plot_joins(pairs, same, 4)
    assert fig.axes[0].get_legend() is not None
    plt.close(fig)


def test_a_large_archive_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(explaining, "MAX_SIGHTINGS", 5)
    with pytest.raises(ValueError, match="up to 5"):
        compare_sightings(Archive(make_archive(tmp_path / "a")))
