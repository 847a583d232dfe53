import numpy as np
import pytest

from instanceid_utils.data.image_files import write_label_map
from instanceid_utils.evaluation import score_joins


def write(folder, maps):
    folder.mkdir(parents=True)
    for n, values in enumerate(maps):
        write_label_map(folder / f"{n:03d}.png", np.repeat(np.array([values], np.uint8), 4, axis=0))
    return folder


@pytest.fixture
def videos(tmp_path):
    """Two videos of two frames: identities 1 and 2 in one, 2 and 3 in the other."""
    truth = {
        "a": write(tmp_path / "ta", [[1, 1, 0, 2], [1, 1, 0, 2]]),
        "b": write(tmp_path / "tb", [[3, 0, 2, 2], [3, 0, 2, 2]]),
    }

    def given(name, a, b):
        return {
            "a": write(tmp_path / name / "a", [a, a]),
            "b": write(tmp_path / name / "b", [b, b]),
        }

    return truth, given


def test_right_by_other_numbers(videos):
    truth, given = videos
    found = score_joins(given("x", [7, 7, 0, 5], [9, 0, 5, 5]), truth)
    assert found[:5] == (1.0, 3, 3, 0, 0)
    assert found.true_of == {("a", 7): 1, ("a", 5): 2, ("b", 9): 3, ("b", 5): 2}


def test_a_false_split_and_a_false_join(videos):
    truth, given = videos
    found = score_joins(given("x", [7, 7, 0, 5], [7, 0, 6, 6]), truth)
    assert (found.n_ids, found.false_joins, found.false_splits) == (3, 1, 1)
    assert found.IDF1 == pytest.approx(2 * 4 / 16)  # 7 is 1 or 3; 5 or 6 is 2


def test_not_joined(videos):
    truth, given = videos
    found = score_joins(given("x", [1, 1, 0, 2], [1, 0, 2, 2]), truth, joined=False)
    assert (found.n_ids, found.false_joins, found.false_splits) == (4, 0, 1)
    assert found.IDF1 == pytest.approx(12 / 16)


def test_what_is_missing_costs(videos):
    truth, given = videos
    found = score_joins(given("x", [1, 1, 0, 0], [3, 0, 2, 2]), truth)
    assert found.IDF1 == pytest.approx(12 / 14)
    with pytest.raises(ValueError, match="same videos"):
        score_joins({}, truth)
