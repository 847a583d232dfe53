"""Random operations on a gallery against a plain model of dicts and NumPy, in all stages."""

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from instanceid_utils.gallery.gallery import Gallery

DIM = 8
EXEMPLARS = 3
MAX_ID = 2**63 - 1


def draw_vectors(rng, n, wide):
    """Unit vectors; unless `wide`, four coordinates of +-1/2, so that all sums are exact.

    Then distances tie all the time, and each tie must be broken as the documentation says.
    """
    if wide:
        vectors = rng.normal(size=(n, DIM))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors = np.zeros((n, DIM), np.float32)
    for vector in vectors:
        vector[rng.choice(DIM, 4, replace=False)] = rng.choice([-0.5, 0.5], 4)
    return vectors


def unit(vector, otherwise):
    norm = np.linalg.norm(vector)
    return (vector / norm if norm > 1e-3 else otherwise).astype(np.float32)


def closest_pair(vectors):
    pairs = [(i, j) for i in range(len(vectors)) for j in range(i + 1, len(vectors))]
    cosines = [np.dot(vectors[i], vectors[j]) for i, j in pairs]
    return pairs[int(np.argmax(cosines))]


class Model:
    """What a gallery should do, said as plainly as possible."""

    def __init__(self, policy):
        self.policy = policy
        self.known = {}  # ID: exemplars as lists [age, vector], mean, time, n_seen
        self.used = set()
        self.last_new = 0
        self.age = 0
        self.latest = -1.0

    def new_id(self):
        self.last_new += 1
        while self.last_new in self.used:
            self.last_new += 1
        self.used.add(self.last_new)
        return self.last_new

    def add(self, ids, vectors, time, keep=None):
        self.latest = max(self.latest, time)
        for i, (id, vector) in enumerate(zip(ids, vectors)):
            if keep is not None and not keep[i]:
                self.known[id]["time"] = time
                continue
            self.age += 1
            self.used.add(id)
            new = id not in self.known
            one = self.known.setdefault(id, {"exemplars": [], "mean": vector, "n_seen": 0})
            one["time"] = time
            one["n_seen"] += 1
            if self.policy != "mean":
                self.add_exemplar(one["exemplars"], vector)
            if self.policy != "exemplars" and not new:
                one["mean"] = unit(0.5 * one["mean"] + 0.5 * vector, vector)

    def add_exemplar(self, exemplars, vector):
        if any(np.linalg.norm(vector - other) < 0.05 for _, other in exemplars):
            return
        if len(exemplars) < EXEMPLARS:
            exemplars.append([self.age, vector])
            return
        both = [*exemplars, [self.age, vector]]
        older = min(closest_pair([v for _, v in both]), key=lambda i: both[i][0])
        exemplars[older] = [self.age, vector]

    def vectors(self, id):
        vectors = [v for _, v in self.known[id]["exemplars"]]
        return vectors if self.policy == "exemplars" else [*vectors, self.known[id]["mean"]]

    def search(self, query, k):
        found = []
        for id in self.known:
            distance = min(np.sqrt(np.sum((query - v) ** 2)) for v in self.vectors(id))
            found.append((np.float32(distance), id))
        found = sorted(found)[:k] + [(np.float32(np.inf), -1)] * (k - len(found))
        return [id for _, id in found], [distance for distance, _ in found]

    def merge(self, keep, other):
        one, two = self.known[keep], self.known.pop(other)
        exemplars = sorted(one["exemplars"] + two["exemplars"], key=lambda e: e[0])
        while len(exemplars) > EXEMPLARS:
            del exemplars[closest_pair([v for _, v in exemplars])[0]]
        total = one["n_seen"] * one["mean"] + two["n_seen"] * two["mean"]
        one.update(
            exemplars=exemplars,
            mean=unit(total, one["mean"]),
            n_seen=one["n_seen"] + two["n_seen"],
            time=max(one["time"], two["time"]),
        )

    def split(self, id, chosen):
        one = self.known[id]
        exemplars = sorted(one["exemplars"], key=lambda e: e[0])
        new_id = self.new_id()
        n_seen = one["n_seen"]
        n_moved = max(1, n_seen * len(chosen) // len(exemplars))
        parts = [
            [e for i, e in enumerate(exemplars) if (i in chosen) == moved]
            for moved in (False, True)
        ]
        for owner, part, n in (
            (id, parts[0], max(1, n_seen - n_moved)),
            (new_id, parts[1], n_moved),
        ):
            mean = unit(np.sum([v for _, v in part], axis=0), part[-1][1])
            self.known[owner] = {"exemplars": part, "mean": mean, "n_seen": n, "time": one["time"]}
        return new_id


class GalleryMachine(RuleBasedStateMachine):
    """Does the same to both and compares; the seeds draw what, hypothesis what to do."""

    policy = "exemplars"
    wide = False
    stages = set()

    @initialize(seed=st.integers(0, 2**32 - 1))
    def start(self, seed):
        self.rng = np.random.default_rng(seed)
        self.gallery = Gallery(
            DIM,
            max_exemplars=EXEMPLARS,
            policy=self.policy,
            momentum=0.5,
            exact_limit=40,
            n_probe="all",
            threshold=0.5,
        )
        self.model = Model(self.policy)

    def draw_ids(self, n):
        known = sorted(self.model.known)
        return self.rng.choice(known, min(n, len(known)), replace=False).tolist()

    @rule(
        n=st.integers(0, 12),
        n_new=st.integers(0, 25),
        later=st.sampled_from([None, 0, 3]),
        all_good=st.booleans(),
    )
    def add(self, n, n_new, later, all_good):
        ids = self.draw_ids(n)
        n_known = len(ids)
        for _ in range(n_new):
            ids.append(self.gallery.new_id())
            assert ids[-1] == self.model.new_id()
        vectors = draw_vectors(self.rng, len(ids), self.wide)
        time = None if later is None else self.model.latest + later
        keep = None
        if not all_good:
            keep = np.arange(len(ids)) >= n_known
            keep |= self.rng.random(len(ids)) < 0.5
        self.gallery.add(ids, vectors, time=time, keep=keep)
        if ids:
            self.model.add(ids, vectors, self.model.latest + 1 if time is None else time, keep)

    @rule(id=st.sampled_from([1, 2, 50, 1000, 1001, MAX_ID - 1, MAX_ID]))
    def add_own_id(self, id):
        vectors = draw_vectors(self.rng, 1, self.wide)
        self.gallery.add([id], vectors)
        self.model.add([id], vectors, self.model.latest + 1)

    @rule(n=st.integers(0, 4), k=st.integers(1, 6))
    def search(self, n, k):
        queries = draw_vectors(self.rng, n, self.wide)
        ids, distances = self.gallery.search(queries, k)
        assert ids.shape == distances.shape == (n, k)
        assert (ids.dtype, distances.dtype) == (np.int64, np.float32)
        for query, found, at in zip(queries, ids.tolist(), distances):
            expected, expected_at = self.model.search(query, k)
            np.testing.assert_allclose(at, expected_at, atol=1e-3 if self.wide else 1e-6)
            if not self.wide and self.policy == "exemplars":
                assert found == expected

    @rule(n=st.integers(1, 5))
    def remove(self, n):
        ids = self.draw_ids(n)
        self.gallery.remove(ids)
        for id in ids:
            del self.model.known[id]

    @precondition(lambda self: len(self.model.known) > 1)
    @rule()
    def merge(self):
        keep, other = self.draw_ids(2)
        self.gallery.merge(keep, other)
        self.model.merge(keep, other)

    @precondition(lambda self: self.policy != "mean" and self.model.known)
    @rule()
    def split(self):
        (id,) = self.draw_ids(1)
        keys, vectors = self.gallery.exemplars(id)
        expected = sorted(self.model.known[id]["exemplars"], key=lambda e: e[0])
        np.testing.assert_array_equal(vectors, [v for _, v in expected])
        if len(keys) > 1:
            chosen = self.rng.choice(len(keys), self.rng.integers(1, len(keys)), replace=False)
            new_id = self.gallery.split(id, keys[chosen])
            assert new_id == self.model.split(id, chosen.tolist())

    @rule(age=st.integers(0, 12))
    def expire(self, age):
        before = self.model.latest - age
        gone = self.gallery.expire(before)
        expected = sorted(i for i, one in self.model.known.items() if one["time"] < before)
        assert gone.tolist() == expected
        for id in expected:
            del self.model.known[id]

    @rule()
    def save_and_load(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch("os.fsync"):
            self.gallery.save(Path(folder) / "gallery")
            self.gallery = Gallery.load(Path(folder) / "gallery")
        assert self.gallery.threshold == 0.5

    @rule()
    def refuse(self):
        ids = [*self.draw_ids(2), MAX_ID - 5]
        vectors = draw_vectors(self.rng, len(ids), self.wide)
        vectors[-1, 0] = np.nan
        with pytest.raises(ValueError, match="vectors"):
            self.gallery.add(ids, vectors)
        with pytest.raises(ValueError, match="not in the gallery"):
            self.gallery.remove([*ids[:-1], MAX_ID - 7])

    @invariant()
    def agree(self):
        if not hasattr(self, "gallery"):
            return
        self.gallery.check()
        cells = self.gallery._contents.index.cells
        self.stages.add((cells.serving is not None, cells.is_making))
        assert self.gallery.ids.tolist() == sorted(self.model.known)
        assert self.gallery.n_vectors == sum(len(self.model.vectors(i)) for i in self.model.known)
        for id in self.draw_ids(3):
            assert self.gallery.last_seen(id) == self.model.known[id]["time"]
            mean = self.gallery.mean(id)
            if mean is not None:
                np.testing.assert_allclose(mean, self.model.known[id]["mean"], atol=1e-5)


class WideMachine(GalleryMachine):
    wide = True


class MeanMachine(GalleryMachine):
    policy, wide = "mean", True


class BothMachine(GalleryMachine):
    policy, wide = "both", True


def run(machine, n_runs):
    case = machine.TestCase
    case.settings = settings(
        max_examples=n_runs,
        stateful_step_count=50,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    return case


TestExemplarsWithTies = run(GalleryMachine, 40)
TestExemplars = run(WideMachine, 20)
TestMean = run(MeanMachine, 10)
TestBoth = run(BothMachine, 10)


def random_step(machine, rng):
    """One rule with drawn arguments: growth twice as likely, so that all stages are reached."""
    steps = [
        lambda: machine.add(int(rng.integers(13)), int(rng.integers(26)), 3, False),
        lambda: machine.add(int(rng.integers(5)), int(rng.integers(26)), None, True),
        lambda: machine.search(int(rng.integers(5)), int(rng.integers(1, 7))),
        lambda: machine.remove(int(rng.integers(1, 6))),
        lambda: len(machine.model.known) > 1 and machine.merge(),
        lambda: machine.model.known and machine.split(),
        lambda: machine.expire(int(rng.integers(5, 13))),
        machine.save_and_load,
        machine.refuse,
    ]
    steps[rng.integers(len(steps))]()
    machine.agree()


@pytest.mark.parametrize("machine", [GalleryMachine, WideMachine])
def test_long_runs_reach_every_stage(machine):
    """Whatever hypothesis draws: long runs, the same everywhere."""
    before, machine.stages = machine.stages, set()
    for seed in range(6):
        rng, one = np.random.default_rng(seed), machine()
        one.start(seed)
        for _ in range(150):
            random_step(one, rng)
    reached, machine.stages = machine.stages, before
    # Exact, exact while the first cells are made, cells, cells while the next are made.
    assert reached == {(s, m) for s in (False, True) for m in (False, True)}
