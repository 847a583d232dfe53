import numpy as np

from instanceid_utils.archive import Tracks
from instanceid_utils.tracking import sighting_dtype


def make_sightings(ids, frames, dim=4):
    out = np.zeros(len(ids), sighting_dtype(dim))
    out["id"], out["frame"], out["area"] = ids, frames, 100
    out["vector"] = np.eye(dim)[np.asarray(ids, int) % dim]
    return out


def test_a_video_is_summed_up(tmp_path):
    frames = [0, 0, 1, 1, 2, 5, 5, 6]
    sightings = make_sightings([7, 3, 7, 3, 3, 7, 3, 7], frames)
    sightings["area"][4] = 120
    tracks = Tracks.of(sightings, sightings["id"], fps=2.0)
    assert tracks.local_id.tolist() == [3, 7] and tracks.n_frames.tolist() == [4, 4]
    assert tracks.runs.tolist() == [[0, 0, 2], [0, 5, 5], [1, 0, 1], [1, 5, 6]]
    assert tracks.last_time.tolist() == [2.5, 3.0]
    assert tracks.view_frame[tracks.best_view].tolist() == [2, 0]
    assert tracks.view_row.tolist() == [0] * 4 + [1] * 4
    tracks.save(tmp_path / "tracks.npz")
    again = Tracks.load(tmp_path / "tracks.npz")
    assert all(np.array_equal(a, b) for a, b in zip(vars(tracks).values(), vars(again).values()))


def test_views_are_few_and_show_the_whole_time():
    sightings = make_sightings([1] * 500, np.arange(500))
    tracks = Tracks.of(sightings, sightings["id"], fps=1.0)
    assert len(tracks.views) == 16
    assert tracks.view_frame[[0, -1]].tolist() == [0, 499]


def test_a_video_in_which_nobody_is_seen():
    sightings = make_sightings([], [])
    tracks = Tracks.of(sightings, sightings["id"], fps=1.0)
    assert len(tracks) == 0 and tracks.views.shape == (0, 4) and tracks.runs.shape == (0, 3)
