"""Part what comes as one blob: at its necks, or between the objects that are known to be in it.

A neck is a matter of one frame. Who walks beside, behind or through another has none, but was
seen on its own a moment ago: `KnownObjects` remembers mask, picture and velocity of such objects,
and divides a blob in which two or more of them are expected.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SEARCH = 8  # pixels of the reduced picture by which an object may be off its expected place
REDUCED = 40  # pixels: longer side of the picture of an object that is searched for
STIFFNESS = 30  # squared difference of colours that outweighs being one such pixel off
BENT = 0.1  # of how far it was off: by so much the velocity is corrected
COMPARED = 7  # pixels: side of the squares in which pictures are compared
HIDDEN = 0.3  # of its area: an object of which less is seen is hidden behind the others
SMALLEST = 0.25  # of the largest object in a blob: what is smaller is a piece of it
SAME = 0.3  # mask IoU with what was expected from which it is the same object
MOVED = 0.5  # of the root of its area: an object that is so far off has moved
AT_REST = 8  # frames without moving from which an object stands still
GONE = 10  # frames after which an object that is not seen is forgotten


def part_blob(blob, split):
    """Part a blob at its necks.

    Peaks of the distance to the edge are the middles of the parts; two of them are parts of
    their own where the way from one to the other narrows by the fraction ``split`` of the
    blob's greatest width or more. Each pixel goes to the nearest peak.

    Parameters
    ----------
    blob : ndarray of shape (h, w), bool
    split : float
        In (0, 1].

    Returns
    -------
    list of ndarray of shape (h, w), bool
        The blob itself if it has no neck.
    """
    padded = np.pad(blob.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)
    drop = split * depth.max()
    if split >= 1 or drop < 1:
        return [blob]
    level = _flooded(depth - drop, depth)  # flat wherever no neck is deeper than the drop
    tops = level - _flooded(level - 0.02, level) > 0.01
    n, peaks = cv2.connectedComponents(tops.astype(np.uint8))
    if n <= 2:
        return [blob]
    away = (peaks == 0).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(nearest.max() + 1, np.int32)
    owner[nearest[peaks > 0]] = peaks[peaks > 0]
    parts = np.where(padded > 0, owner[nearest], 0)[1:-1, 1:-1]
    return [parts == k for k in range(1, n)]


def thickness(blob):
    """Return the greatest width of a blob, in pixels."""
    return 2 * cv2.distanceTransform(np.pad(blob.astype(np.uint8), 1), cv2.DIST_L2, 5).max()


def _flooded(low, high):
    """Morphological reconstruction: let ``low`` rise as far as it can spread under ``high``."""
    kernel = np.ones((3, 3), np.uint8)
    while True:
        before = low
        for _ in range(4):  # comparing costs as much as a step
            low = np.minimum(cv2.dilate(low, kernel), high)
        if np.array_equal(low, before):
            return low


@dataclass(eq=False)
class _Known:
    """An object as it was when it was last seen on its own."""

    mask: np.ndarray  # (h, w) bool
    picture: np.ndarray  # (h, w, 3) uint8
    place: np.ndarray  # (y, x) of its upper left corner, float
    n_whole: int  # frames in which it was a blob of its own
    velocity: np.ndarray | float = 0.0  # (y, x) pixels a frame
    n_since: int = 0  # frames since it was seen on its own
    n_unseen: int = 0  # frames since it was seen, in a blob or on its own
    n_still: float = np.inf  # frames since it has moved

    def __post_init__(self):
        self.area = np.count_nonzero(self.mask)
        rows, columns = np.nonzero(self.mask)
        self._middle = np.array([rows.mean(), columns.mean()])
        self._moved_to = self.centre

    @classmethod
    def of(cls, here, mask, frame, n_whole):
        """Return the object that is at a place of the frame."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        inner = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        place = np.array([here[0].start + rows[0], here[1].start + columns[0]], float)
        return cls(mask[inner], frame[here][inner].copy(), place, n_whole)

    @property
    def here(self):
        """Rows and columns of the frame where it was seen on its own."""
        ends = self.place.astype(int) + self.mask.shape
        return tuple(slice(first, last) for first, last in zip(self.place.astype(int), ends))

    @property
    def centre(self):
        return self.place + self._middle

    def renewed(self, now):
        """Return it as it is ``now``, with what is known from before."""
        now.velocity = self.velocity + 0.5 * (now.centre - self.centre)
        now.n_whole += self.n_whole
        now.n_still, now._moved_to = self.n_still, self._moved_to
        now.note_motion()
        return now

    def note_motion(self):
        """Count the frames in which it has stood still."""
        self.n_still += 1
        if np.hypot(*(self.centre - self._moved_to)) > MOVED * np.sqrt(self.area):
            self._moved_to, self.n_still = self.centre, 0

    def within(self, here):
        """Return the part of a place (rows, columns) that it covers, and of its own mask."""
        ours, theirs = [], []
        for start, size, whole in zip(np.rint(self.place).astype(int), self.mask.shape, here):
            first = max(start, whole.start)
            last = max(first, min(start + size, whole.stop))
            ours.append(slice(first - start, last - start))
            theirs.append(slice(first - whole.start, last - whole.start))
        return tuple(theirs), tuple(ours)

    def cover(self, blob, here):
        """Return how many pixels of a blob are expected to be of this object."""
        theirs, ours = self.within(here)
        return np.count_nonzero(blob[theirs] & self.mask[ours])

    def find(self, frame):
        """Correct the expected place by the picture, where no mask can tell."""
        scale = min(1.0, REDUCED / max(self.mask.shape))
        reach = round(SEARCH / scale)
        size = tuple(max(1, round(side * scale)) for side in self.mask.shape[::-1])
        window = cv2.resize(
            frame[np.ix_(*self._around(reach, frame.shape))],
            (size[0] + 2 * SEARCH, size[1] + 2 * SEARCH),
            interpolation=cv2.INTER_AREA,
        )
        picture = cv2.resize(self.picture, size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(self.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        unlike = cv2.matchTemplate(window, picture, cv2.TM_SQDIFF, mask=cv2.merge([mask] * 3))
        steps = np.arange(-SEARCH, SEARCH + 1)
        far = steps[:, None] ** 2 + steps**2
        cost = unlike / max(1, np.count_nonzero(mask)) + STIFFNESS * far
        best = np.array(np.unravel_index(cost.argmin(), cost.shape)) - SEARCH
        self.place = self.place + best / scale
        self.velocity = self.velocity + BENT * best / scale

    def _around(self, reach, frame_shape):
        """Return the rows and columns around the expected place; borders are repeated."""
        for start, size, n in zip(np.rint(self.place).astype(int), self.mask.shape, frame_shape):
            yield np.clip(np.arange(start - reach, start + size + reach), 0, n - 1)

    def costs(self, here, frame):
        """Return how far the pixels of a place are from it, and how unlike its picture."""
        shape = tuple(side.stop - side.start for side in here)
        outside, unlike = np.ones(shape, np.uint8), np.zeros(shape, np.float32)
        theirs, ours = self.within(here)
        outside[theirs] = ~self.mask[ours]
        differs = cv2.absdiff(frame[here][theirs], self.picture[ours]).sum(axis=2)
        unlike[theirs] = cv2.blur(differs.astype(np.float32), (COMPARED, COMPARED))
        return cv2.distanceTransform(outside, cv2.DIST_L2, 3), unlike


class KnownObjects:
    """What was seen a moment ago: objects with mask, picture and velocity.

    Parameters
    ----------
    n_whole : int
        Frames for which an object must have been a blob of its own to be told from others.
    n_together : int
        Frames for which objects are told apart that touch all the time.
    """

    def __init__(self, n_whole: int = 3, n_together: int = 60):
        self.n_whole, self.n_together = n_whole, n_together
        self._objects = []

    def expect(self):
        """Go on to the next frame: every object is expected where its velocity takes it."""
        for one in self._objects:
            one.place = one.place + one.velocity
            one.n_since += 1
            one.n_unseen += 1
        self._objects = [
            one for one in self._objects if one.n_unseen <= GONE and one.n_since <= self.n_together
        ]

    def divide(self, blob, here, frame):
        """Divide a blob between the objects that are expected in it.

        Each pixel goes to the nearest of them, where several are expected to the one whose
        picture is most like it.

        Parameters
        ----------
        blob : ndarray of shape (h, w), bool
        here : tuple of slice
            Rows and columns of the frame where it is.
        frame : ndarray of shape (H, W, 3), uint8

        Returns
        -------
        list of ndarray of shape (h, w), bool
            Together the blob; the blob itself if fewer than two are to be seen in it.
        """
        inside = [one for one in self._inside(blob, here) if one.n_whole >= self.n_whole]
        largest = max((one.area for one in inside), default=0)
        inside = [one for one in inside if one.area >= SMALLEST * largest]
        if len(inside) < 2:
            return [blob]
        expected = [(one.place, one.velocity) for one in inside]
        for one in inside:
            one.find(frame)
        parts, seen = _shares(blob, inside, *zip(*(one.costs(here, frame) for one in inside)))
        for one, (place, velocity) in zip(inside, expected):
            if one in seen:
                one.n_unseen = 0
                one.note_motion()
            else:  # hidden: it is not gone, but there is nothing of it to find
                one.n_unseen -= 1
                one.place, one.velocity = place, velocity
        return parts

    def observe(self, parts, whole, frame):
        """Take in what was seen on its own.

        Parameters
        ----------
        parts : list of (tuple of slice, ndarray of shape (h, w) bool)
            Places and masks.
        whole : list of bool
            Which of them are blobs of their own, and not parted from others.
        frame : ndarray of shape (H, W, 3), uint8
        """
        known = self._objects
        seen = [_Known.of(*part, frame, int(alone)) for part, alone in zip(parts, whole)]
        common = np.array([[one.cover(m, here) for one in known] for here, m in parts], float)
        common = common.reshape(len(seen), len(known))
        areas = [np.array([one.area for one in row], float) for row in (seen, known)]
        iou = common / (areas[0][:, None] + areas[1] - common)
        for now, row in zip(seen, iou):
            k = int(row.argmax()) if len(row) else -1
            if k >= 0 and SAME < row[k] == iou[:, k].max() and known[k].n_since:
                self._objects[k] = known[k].renewed(now)
            else:
                self._objects = [*self._objects, now]

    def has_come(self, blob, here, hold):
        """Tell whether something in a blob has moved, at most ``hold`` frames ago."""
        return any(one.n_still <= hold for one in self._inside(blob, here))

    def at_rest(self):
        """Return the objects that are seen on their own where they have come to stand."""
        return [o for o in self._objects if o.n_since == 0 and AT_REST <= o.n_still < np.inf]

    def _inside(self, blob, here):
        return [one for one in self._objects if one.cover(blob, here) > one.area / 2]


def _shares(blob, objects, away, unlike):
    """Divide a blob; return the parts and the objects that they are of, without the hidden."""
    while True:
        shared = np.sum([far == 0 for far in away], axis=0) > 1
        owner = np.argmin([far + shared * differs for far, differs in zip(away, unlike)], axis=0)
        parts = [blob & (owner == k) for k in range(len(objects))]
        seen = [np.count_nonzero(part) / one.area for part, one in zip(parts, objects)]
        least = int(np.argmin(seen))
        if seen[least] > HIDDEN or len(objects) == 1:
            return parts, objects
        objects, away, unlike = (
            [*row[:least], *row[least + 1 :]] for row in (objects, away, unlike)
        )
