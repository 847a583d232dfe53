import numpy as np

from instanceid_utils.data.image_files import read_label_map
from instanceid_utils.synthetic import draw_season, write_season
from instanceid_utils.video import video_info


def test_the_same_come_back_in_other_clips(tmp_path):
    videos = write_season(tmp_path, 3, 3, seed=1, n_frames=3, per_clip=2, progress=False)
    assert [video_info(video).n_frames for video in videos] == [3, 3, 3]
    who = [
        set(np.unique(read_label_map(path)).tolist()) - {0}
        for path in sorted(tmp_path.glob("*_truth/000001.png"))
    ]
    assert all(len(seen) <= 2 for seen in who) and set.union(*who) == {1, 2, 3}
    (tmp_path / "clip001.json").unlink()
    before = videos[0].stat().st_mtime_ns
    assert write_season(tmp_path, 3, 3, seed=1, n_frames=3, per_clip=2, progress=False) == videos
    assert videos[0].stat().st_mtime_ns == before and (tmp_path / "clip001.json").exists()


def test_a_season_follows_from_its_seed():
    one, other = (
        [frame for _, frames in draw_season(2, 4, 7, n_frames=2) for frame in frames]
        for _ in range(2)
    )
    assert all(np.array_equal(a, b) for x, y in zip(one, other) for a, b in zip(x, y))
