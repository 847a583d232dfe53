"""What is drawn is what the evidence says."""

import matplotlib.pyplot as plt
import pytest

from instanceid_utils.pictures.evidence_curves import plot_evidence
from instanceid_utils.tracking.evidence import Evidence


def test_three_parts_as_they_count():
    evidence = Evidence()
    fig = plot_evidence(evidence, threshold=0.8, width=0.1)
    looks, place, size = fig.axes
    x, y = looks.lines[0].get_data()
    assert y[0] == pytest.approx(evidence.looks) and y[-1] == pytest.approx(-evidence.looks)
    first = place.lines[0].get_ydata()[0]
    assert first == pytest.approx(evidence.beside * evidence.of_place(0.0, 1, 0.1, 0.01))
    assert len(place.lines) == len(size.lines) == 4  # three ages and the zero
    assert [t.get_text() for t in place.get_legend().get_texts()][0] == "unseen for 1"
    plt.close(fig)
