"""What several test files share."""

import os
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings

from instanceid_utils.data.image_files import write_label_map

# Without the extra "train" the rooms that track are tested, as `make test-core` does.
_TRAINS = """
data/test_download.py data/test_extraction.py data/test_manifest.py data/test_segment_sets.py
embedding/test_network.py embedding/test_weights.py embedding/test_onnx_graph.py
embedding/test_descriptors.py embedding/test_imagenet.py mnist evaluation
training synthetic lab pictures/test_comparison.py
archive/test_explaining.py pictures/test_explanations.py pictures/test_figures.py
pictures/test_projector.py
app/test_video_tracking_formats.py app/test_outputs.py pictures/test_evidence_curves.py
test_cli.py test_commands.py test_course.py
test_environment.py test_index.py test_notebooks.py test_pipeline.py test_public_names.py
test_rooms.py test_written_before.py
""".split()
collect_ignore = _TRAINS if find_spec("tensorflow") is None else []

settings.register_profile("instanceid", deadline=None)  # shared machines stall now and then
settings.load_profile("instanceid")


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "real_data: reads real video from INSTANCEID_DAVIS_ROOT or INSTANCEID_VIDEO_ROOT"
    )


@pytest.fixture(scope="session")
def davis_root():
    """Folder with real video in the DAVIS layout; skips the test where there is none."""
    return _folder("INSTANCEID_DAVIS_ROOT", "a folder in the DAVIS 2017 layout")


@pytest.fixture(scope="session")
def video_root():
    """Folder with vtest.avi, its detections and its truth; skips the test where there is none."""
    return _folder("INSTANCEID_VIDEO_ROOT", "a folder with vtest.avi, its detections and truth")


def _folder(variable, what):
    root = os.environ.get(variable)
    if not root:
        pytest.skip(f"{variable} is unset: it names {what}")
    if not Path(root).is_dir():
        pytest.skip(f"{variable}: no such folder, {root}")
    return Path(root)


@pytest.fixture
def make_davis(tmp_path):
    """Return a function that writes a small data set in the DAVIS layout."""

    def make(sequences=(("pond", 4), ("road", 3)), size=(48, 64), root=None, **splits):
        """``size`` is (H, W); each frame has a square of label 1 and a bar of label 2."""
        root = Path(root or tmp_path / "davis")
        for k, (name, n_frames) in enumerate(sequences):
            images = root / "JPEGImages/480p" / name
            labels = root / "Annotations/480p" / name
            images.mkdir(parents=True)
            labels.mkdir(parents=True)
            for i in range(n_frames):
                label_map = np.zeros(size, np.uint8)
                label_map[10:22, 5 + i : 17 + i] = 1
                label_map[30:34, 20:50] = 2
                image = np.full((*size, 3), 90 + 10 * k, np.uint8)
                image[label_map == 1] = 200, 40, 40
                image[label_map == 2] = 40, 40, 200
                cv2.imwrite(str(images / f"{i:05d}.jpg"), image[..., ::-1])
                write_label_map(labels / f"{i:05d}.png", label_map)
        for split, names in splits.items():
            (root / "ImageSets/2017").mkdir(parents=True, exist_ok=True)
            (root / "ImageSets/2017" / f"{split}.txt").write_text("\n".join(names) + "\n")
        return root

    return make
