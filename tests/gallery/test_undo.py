"""An update that is broken off anywhere has happened whole or not at all."""

import sys
from copy import deepcopy
from unittest import mock

import numpy as np
import pytest

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.gallery.inverted_file import Cells
from instanceid_utils.gallery.undo import UndoLog
from tests.galleries import DIM, draw, state


def test_the_undo_log_puts_all_back_last_first():
    log, array, names = UndoLog(), np.arange(5), []
    log.write(array, np.array([0, 1]), 9)
    log.write(array, np.array([1, 2]), [8, 7])
    log.on_undo(names.append, "first noted")
    log.on_undo(names.append, "last noted")
    log.rollback()
    assert array.tolist() == [0, 1, 2, 3, 4] and names == ["last noted", "first noted"]
    log.write(array, np.array([0]), 5)
    log.commit()
    log.rollback()
    assert array[0] == 5


def copy(gallery):
    with mock.patch("instanceid_utils.gallery.gallery_file.audit"):  # takes most of the time
        return deepcopy(gallery)


def make_busy_gallery(policy="both"):
    """A small gallery with cells in use, and the next ones being made."""
    gallery = Gallery(DIM, max_exemplars=3, policy=policy, exact_limit=20, n_probe="all")
    gallery.add(np.arange(1, 26), draw(25))
    gallery.add(np.arange(1, 16), draw(15, seed=1))
    gallery.remove([8, 9])
    while not (gallery._contents.index.cells.serving and gallery._contents.index.cells.next):
        ids = [gallery.new_id() for _ in range(2)]
        gallery.add(ids, draw(2, seed=ids[0]))
    gallery.remove([12, 13])  # leaves free rows
    return gallery


OPERATIONS = {
    "add": lambda g: g.add([2, 5, 900, 901, 902], draw(5, seed=99)),
    "merge": lambda g: g.merge(3, 4),
    "split": lambda g: g.split(3, g.exemplars(3)[0][:1]),
    "remove": lambda g: g.remove([5, 6]),
    "expire": lambda g: g.expire(g.last_seen(20)),
    "new_id": lambda g: g.new_id(),
}


def interrupt_at(line_number, call):
    """Raise a KeyboardInterrupt at the n-th line run inside the store; False if it ended before."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        if "instanceid_utils" not in frame.f_code.co_filename:
            return None
        if event == "line":
            count += 1
            if count == line_number:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_interrupt_at_any_line_leaves_a_whole_state(name):
    original = make_busy_gallery()
    operation = OPERATIONS[name]
    done = copy(original)
    operation(done)
    before, after = state(original), state(done)
    queries = draw(10, seed=5)
    outcomes = {"before": 0, "after": 0}
    for line in range(1, 10_000):
        gallery = copy(original)
        if not interrupt_at(line, lambda gallery=gallery: operation(gallery)):
            break
        now = state(gallery)
        assert now in (before, after), f"interrupted at line {line}: neither before nor after"
        outcomes["before" if now == before else "after"] += 1
        if line % 30 == 1:
            gallery.check()
            twin = original if now == before else done
            for mine, theirs in zip(gallery.search(queries), twin.search(queries)):
                np.testing.assert_allclose(mine, theirs, atol=1e-6)
            if now == before:
                operation(gallery)
                gallery.check()
    assert outcomes["before"] > 10 * outcomes["after"]


@pytest.mark.parametrize("n_done", [0, 3])
def test_an_error_inside_faiss_changes_nothing(monkeypatch, n_done):
    gallery, put = make_busy_gallery(), Cells.put
    before = state(gallery)

    def fail(cells, rows, vectors, live):
        put(cells, rows[:n_done], vectors[:n_done], live[:n_done])
        if n_done:  # taken out of one cell, but not put into the other yet
            cell, _ = cells.places()[rows[0]].tolist()
            lists = cells._index.invlists
            lists.resize(cell, lists.list_size(cell) - 1)
        raise RuntimeError("out of memory in FAISS")

    with monkeypatch.context() as patch:
        patch.setattr(Cells, "put", fail)
        with pytest.raises(RuntimeError, match="out of memory in FAISS"):
            OPERATIONS["add"](gallery)
    assert state(gallery) == before
    gallery.check()
    OPERATIONS["add"](gallery)
    gallery.check()
