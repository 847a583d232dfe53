"""InstanceID: a lasting ID for every segment of every frame.

Embed the segments, search the gallery, decide, learn. An update looks first and acts then: all
that can go wrong happens before anything is changed.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from instanceid_utils.formats import from_model
from instanceid_utils.formats.frame_masks import MIN_SCORE
from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.segments.segments import check_frame
from instanceid_utils.tracking import tracker_file
from instanceid_utils.tracking.abstention import Abstention
from instanceid_utils.tracking.candidates import MOST_CANDIDATES, gather, weigh
from instanceid_utils.tracking.channel_order import ChannelOrder
from instanceid_utils.tracking.classes import ClassMemory
from instanceid_utils.tracking.decision import NO_ID, choose, explain
from instanceid_utils.tracking.evidence import Evidence
from instanceid_utils.tracking.habits import Habits, at_border, covered_share
from instanceid_utils.tracking.healing import Strains, younger_group
from instanceid_utils.tracking.meetings import covered_pairs, fragments, merged
from instanceid_utils.tracking.observation import Observation, Update, View, observe
from instanceid_utils.tracking.options import check_gallery, checked_options, new_gallery
from instanceid_utils.tracking.place import NOWHERE, PlaceMemory
from instanceid_utils.tracking.probation import Probation
from instanceid_utils.tracking.shots import ShotDetector


class InstanceID:
    """Give segments lasting IDs by their looks, helped by their places.

    Parameters
    ----------
    embedder : embedding.Embedder
        Or anything with ``embed_crops``, ``crop_size``, ``margin``, ``dim``, ``threshold`` and
        ``weights_sha256``.
    threshold : float, optional
        L2 distance, not squared, below which a segment may be a known instance; the embedder's
        calibrated one by default, and a lower one in a large gallery, see `threshold_in_force`.
    gallery : gallery.Gallery, optional
        What is known already, from another video or camera.
    place_cue : bool
        Whether place, size and entry count beside the looks, see `evidence`; False is appearance
        only: the plain rule, nobody on probation.
    place_weight : float
        How much they count; 1 as calibrated.
    assignment : {"optimal", "plain"}
        How two segments that want one ID are settled, see `decision`.
    clear_margin : float
        As a part of the threshold: with a runner-up nearer than this a decision is called
        ambiguous, and the gallery learns nothing from it.
    confirm : int
        Good views after which a new ID is confirmed. One that is not, and is not seen any more,
        is forgotten; 0 confirms all at once.
    abstain : int
        Number of updates for which an ambiguous ID is provisional; 0 decides at once.
    abstain_band : float
        As a part of the threshold: what counts as ambiguous then.
    n_neighbours : int
        Nearest IDs reported with each decision.
    across_classes : bool
        Whether an ID may go from one class to another, where the model gives classes.

    Raises
    ------
    ValueError
        If an argument is out of range, or the gallery was made with other weights.

    Notes
    -----
    Not thread-safe: one `update` at a time. The gallery may be read meanwhile.
    """

    def __init__(
        self,
        embedder: Any,
        *,
        threshold: float | None = None,
        gallery: Gallery | None = None,
        place_cue: bool = True,
        place_weight: float = 1.0,
        assignment: str = "optimal",
        clear_margin: float = 0.05,
        confirm: int = 3,
        abstain: int = 0,
        abstain_band: float = 0.15,
        n_neighbours: int = 5,
        across_classes: bool = False,
    ):
        self.embedder = embedder
        options = checked_options(
            {
                "threshold": embedder.threshold if threshold is None else threshold,
                "place_cue": place_cue,
                "place_weight": place_weight,
                "assignment": assignment,
                "clear_margin": clear_margin,
                "confirm": confirm,
                "abstain": abstain,
                "abstain_band": abstain_band,
                "n_neighbours": n_neighbours,
                "across_classes": across_classes,
            }
        )
        self.threshold, self.assignment = options["threshold"], options["assignment"]
        self._by_size = threshold is None and getattr(embedder, "calibration", None) is not None
        self.place_cue, self.place_weight = options["place_cue"], options["place_weight"]
        self.across_classes, self.confirm = options["across_classes"], options["confirm"]
        self.clear_margin, self.n_neighbours = options["clear_margin"], options["n_neighbours"]
        self._abstention = Abstention(options["abstain"], options["abstain_band"])
        self.gallery = new_gallery(embedder, self.threshold) if gallery is None else gallery
        check_gallery(self.gallery, embedder)
        self._places, self._shots, self._habits = PlaceMemory(), ShotDetector(), Habits()
        self.evidence = Evidence.of(embedder)
        self._classes = ClassMemory()
        self._strains = Strains()
        self._probation = Probation(options["confirm"] if options["place_cue"] else 0)
        self._time, self._frame_shape = 0, None
        self._channel_order = ChannelOrder(self.gallery)

    @property
    def threshold_in_force(self) -> float:
        """The threshold for as many identities as the gallery holds.

        More of them are more that a newcomer may be taken for. It is `threshold` in a small
        gallery, and where that was given by hand; see `embedding.Calibration.threshold_for`.
        """
        if not self._by_size:
            return self.threshold
        return min(self.threshold, self.embedder.calibration.threshold_for(len(self.gallery)))

    def update(
        self,
        frame: np.ndarray,
        masks: Any = None,
        *,
        boxes: Any = None,
        scores: Any = None,
        classes: Any = None,
        min_score: float = MIN_SCORE,
        scale_masks: bool = False,
    ) -> Update:
        """Give every object of the next frame its ID.

        Parameters
        ----------
        frame : ndarray of shape (H, W, 3), uint8
            RGB. Its size may change from frame to frame; that ends a shot.
        masks : object
            Integer label map (H, W), 0 = background; or bool stack (N, H, W), which may
            overlap; or what a model returned, in any form that `formats.from_model` takes. None
            is a frame without objects. Two masks that are the same are two objects, of which one
            gets the ID.
        boxes : array_like of shape (N, 4), optional
            Instead of masks: left, top, right, bottom in pixels, as a detector gives them.
        scores : array_like of shape (N,), optional
            How sure the model is, in place of what its output says.
        classes : sequence of int or str, length N, optional
            What the objects are, likewise. An ID never goes from one class to another, unless
            the tracker was made with ``across_classes=True``.
        min_score : float
            Objects with a lower score are dropped.
        scale_masks : bool
            Scale masks of another size to that of the frame.

        Returns
        -------
        Update
            IDs in order of increasing label of a label map, else in the order of what was given;
            -1 for what was dropped (no pixels, a low score), with the reason in its decision.

        Raises
        ------
        ValueError
            If frame or masks are not of this form, or the embedder gives vectors that are not
            finite or not of unit length. Nothing has changed then.
        OverflowError
            If the IDs up to 2**63 - 1 are used up. Nothing has changed but that.
        """
        more = {"boxes": boxes, "scores": scores, "classes": classes, "scale": scale_masks}
        if scale_masks or not (boxes is scores is classes is None):
            check_frame(frame)
            masks = from_model(masks, 0, frame.shape[:2], **more)
        observation = self.observe(frame, masks, min_score)
        self._channel_order.look(frame, masks, observation.vectors, self)
        return self.decide(observation)

    def observe(self, frame: np.ndarray, masks: Any, min_score: float = MIN_SCORE) -> Observation:
        """Find and embed the segments of a frame; the tracker stays as it is.

        `update` is this and then `decide`. An observation can be kept and decided on by other
        trackers with the same embedder, for instance with another threshold.

        Parameters
        ----------
        frame, masks, min_score
            As for `update`.

        Returns
        -------
        Observation
        """
        return observe(self.embedder, frame, masks, min_score)

    def decide(self, observation: Observation) -> Update:
        """Give every segment of an observed frame its ID, as the next frame of the video.

        Returns
        -------
        Update
            See `update`, also for what it raises.
        """
        view = self._view(observation)
        new = (view.known == NO_ID) & ~view.fragment
        ids = np.array(
            [self.gallery.new_id() if is_new else i for is_new, i in zip(new, view.known.tolist())],
            np.int64,
        )
        learned = self._learn(view, ids, new)
        split = self._heal(view, ids, learned)
        self._time += 1
        return self._report(view, ids, split)

    def _view(self, observation):
        segments, threshold = observation.segments, self.threshold_in_force
        change = self._shots.compare(observation.signature)
        cut = change.cut or self._frame_shape not in (None, segments.frame_shape)
        expected = NOWHERE
        if self.place_cue and not cut:
            expected = self._places.expect(self._time)
        classes = None if self.across_classes else observation.of_segments(observation.classes)
        most = classes is not None and self._classes.several  # the nearest may be of other classes
        found = gather(
            self.gallery,
            observation.vectors,
            expected.nearest(segments.boxes_tlbr),
            n_neighbours=MOST_CANDIDATES if most else self.n_neighbours,
        )
        if self.place_cue and not cut and self._frame_shape is not None:
            found = weigh(
                found,
                self.evidence,
                expected,
                segments.boxes_tlbr,
                segments.frame_shape,
                threshold=threshold,
                width=self._places.width,
                weight=self.place_weight,
            )
        found = self._classes.exclude(found, classes)
        choice = choose(
            found.ids,
            found.distances,
            threshold,
            discounts=found.discounts,
            rule=self.assignment,
            clear_margin=self.clear_margin * threshold,
        )
        provisional = self._abstention.is_ambiguous(found, threshold)
        known = choice.known(found.ids)
        for row, pair in covered_pairs(segments.boxes_tlbr, known, expected).items():
            likelier = np.where(np.isin(found.ids[row], pair), found.costs[row], np.inf).argmin()
            if found.ids[row, likelier] not in known:
                choice.column[row], provisional[row] = likelier, False
                known = choice.known(found.ids)
        known[provisional] = NO_ID
        several = merged(segments.boxes_tlbr, known, expected)
        fragment = fragments(segments.boxes_tlbr, known, expected) & ~provisional
        return View(
            observation,
            change,
            cut,
            found,
            choice,
            provisional,
            known,
            several,
            fragment,
            threshold,
        )

    def _learn(self, view, ids, new):
        """Take the frame over: first the gallery, whole or not at all, then what cannot fail."""
        segments, habits = view.segments, Habits() if view.cut else self._habits
        boxes, areas, given = segments.boxes_tlbr, segments.areas, ids != NO_ID
        border, covered = at_border(boxes, segments.frame_shape), covered_share(boxes)
        good = habits.is_good(ids, areas, border, covered, view.shared)
        good &= view.choice.margin >= self.clear_margin * view.threshold
        good &= ~view.merged
        good |= new  # an ID without a view could never be found again
        self.gallery.add(ids[given], view.seen.vectors[given], keep=good[given])

        if view.cut:
            self._places.forget()
        self._habits, self._frame_shape = habits, segments.frame_shape
        self._habits.observe(ids[given], areas[given], covered[given], self._time)
        sure = view.sure[given]  # they say how well places are foreseen
        self._places.observe(ids[given], boxes[given], self._time, sure)
        classes = view.seen.of_segments(view.seen.classes)
        self._classes.observe(ids[given], classes and [c for c, g in zip(classes, given) if g])
        self._probation.observe(ids[given], new[given], good[given], self._time)
        self._shots.accept(view.change)
        self._abstention.take(ids, view.provisional, view.found, view.threshold, self._time)
        for id_ in self._probation.overdue(self._time):
            self.forget(id_)
        return np.flatnonzero(good & given & ~new)

    def _heal(self, view, ids, learned):
        """Split the IDs that turn out to be two instances; ids (N,) are changed accordingly."""
        split = {}
        if not self.place_cue:
            return split
        for row in learned[[int(i) in self._strains for i in ids[learned]]].tolist():
            old = int(ids[row])
            keys, vectors = self.gallery.exemplars(old)
            younger = younger_group(vectors, self._strains.gap * self.threshold)
            if younger is None:
                continue
            new = self.split(old, keys[younger])
            split[new] = old
            self._strains.forget([old])
            if younger[np.linalg.norm(vectors - view.seen.vectors[row], axis=1).argmin()]:
                ids[row] = new
                for part in (self._places, self._habits):
                    part.rename(old, new)
        columns = view.choice.column[learned]
        self._strains.observe(ids[learned], view.found.distances[learned, columns], self.threshold)
        return split

    def _report(self, view, ids, split):
        relabelled = self.settle(self._time)
        final = np.array([relabelled.get(i, i) for i in ids.tolist()], np.int64)
        waiting = [i in self._abstention for i in final.tolist()]
        confirmed = [i not in self._probation for i in final.tolist()]
        decisions = explain(
            view.seen.every.labels,
            view.seen.dropped.tolist(),
            final,
            view.choice,
            view.found,
            threshold=view.threshold,
            ambiguous=view.provisional,
            provisional=waiting,
            confirmed=confirmed,
            merged=view.merged,
            fragment=view.fragment,
            split=[i in split for i in final.tolist()],
            n_neighbours=self.n_neighbours,
            scores=view.seen.scores,
            classes=view.seen.classes,
        )
        given = np.array([decision.id for decision in decisions], np.int64)
        return Update(given, decisions, bool(view.cut), relabelled, split)

    def settle(self, time: int | None = None) -> dict:
        """Decide on the provisional IDs, at the end of a video for instance.

        Parameters
        ----------
        time : int, optional
            Only on those due by this update; on all by default.

        Returns
        -------
        dict of int to int
            Provisional ID -> the ID that it turns out to be. The others stay as they are.
        """
        relabelled = self._abstention.settle(time, self.threshold_in_force, self.gallery)
        for provisional, final in relabelled.items():
            self.merge(final, provisional)
        return relabelled

    def new_video(self) -> dict:
        """Start the next video, or go to another camera: keep the gallery, forget all places.

        Returns
        -------
        dict of int to int
            What became of IDs that were still provisional, as from `settle`.
        """
        relabelled = self.settle()
        self._places.forget()
        self._habits.forget()
        self._shots.reset()
        self._frame_shape = None
        return relabelled

    def merge(self, keep: int, other: int) -> None:
        """Make two IDs one: from now on ``other`` is ``keep``."""
        self.gallery.merge(keep, other)
        self._places.rename(other, keep)
        self._habits.rename(other, keep)
        self._probation.rename(other, keep)
        self._strains.rename(other, keep)
        self._classes.rename(other, keep)
        self._abstention.forget(other)

    def split(self, id: int, keys: npt.ArrayLike) -> int:
        """Give the exemplars with these keys (from ``gallery.exemplars``) a new ID; return it."""
        return self.gallery.split(id, keys)

    def forget(self, id: int) -> None:
        """Forget an ID for good: should its instance return, it is new."""
        self.gallery.remove([id])
        for part in (self._places, self._habits, self._classes, self._probation, self._strains):
            part.forget([id])
        self._abstention.forget(id)

    def save(self, path: str | os.PathLike) -> None:
        """Save gallery, places and all else that `load` needs to go on; see `tracker_file`."""
        tracker_file.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike, embedder: Any) -> InstanceID:
        """Go on where the tracker saved at ``path`` stood, with the same embedder."""
        return tracker_file.load(cls, path, embedder)
