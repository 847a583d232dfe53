"""A whole video in one call: final IDs in the order given, and a tracker that goes on with them."""

from __future__ import annotations

import numpy as np
import pytest

import instanceid_utils
from instanceid_utils.tracking.second_look.whole_video import track
from instanceid_utils.tracking.tracker import InstanceID
from tests.painted_scenes import BLUE, GREEN, RED, ColourEmbedder, paint


def clip():
    """Red goes away and comes back at another place, with blue beside it all along."""
    for t in range(30):
        things = [(2, BLUE, 5 + t, 60, 20, 40)]
        if not 10 <= t < 18:
            things.append((1, RED, 20 + t, 5, 20, 40))
        yield paint(*things)


def test_what_the_tracker_gives_where_nothing_is_to_be_changed():
    tracker = InstanceID(ColourEmbedder())
    online = [tracker.update(*pair).ids.tolist() for pair in clip()]
    found = track(clip(), ColourEmbedder())
    assert len(found) == 30 and [ids.tolist() for ids in found.ids] == online
    assert (found.n_cuts, found.n_joined) == (0, 0) and not any(found.changed)
    assert [d.id for d in found.decisions[5]] == online[5]
    assert instanceid_utils.track is track


def test_one_that_was_lost_is_found_and_the_gallery_knows(monkeypatch):
    first = track(clip(), ColourEmbedder(), refine=False)
    assert first.first_ids is first.ids
    decide, lost = InstanceID.decide, []

    def loses(self, observation):
        if self._time == 18:
            lost.append(int(self.gallery.search(observation.vectors[:1], k=1)[0][0, 0]))
            self.forget(lost[0])
        return decide(self, observation)

    monkeypatch.setattr(InstanceID, "decide", loses)
    found = track(clip(), ColourEmbedder())
    monkeypatch.undo()
    assert lost == [1] and found.n_joined == 1
    assert {i for ids in found.ids for i in ids.tolist()} == {2, 3}, "most of red was 3"
    assert found.changed[5] == {1: 3} and not found.changed[20]
    assert found.tracker.gallery.ids.tolist() == [2, 3]
    again = found.tracker.update(*paint((1, RED, 100, 5, 20, 40), (2, BLUE, 5, 60, 20, 40)))
    assert again.ids.tolist() == found.ids[-1].tolist()


def test_a_frame_that_is_wrong_is_named():
    frame, masks = paint((1, GREEN, 5, 5, 20, 20))
    with pytest.raises(ValueError, match=r"frame 1 \(from 0\): .*size"):
        track([(frame, masks), (frame, masks[:5])], ColourEmbedder())
    with pytest.raises(ValueError, match=r"frame 0 \(from 0\)"):
        track([frame[:, :, 0]], ColourEmbedder())
    assert len(track([], ColourEmbedder())) == 0


def test_what_was_dropped_stays_dropped():
    frame, masks = paint((1, GREEN, 5, 5, 20, 20))
    stack = np.stack([masks == 1, np.zeros_like(masks, bool)])
    assert [ids.tolist() for ids in track([(frame, stack)] * 3, ColourEmbedder()).ids] == [
        [1, -1]
    ] * 3
