"""Each exported file runs in its own runtime, and gives what the embedder gives."""

import json

import numpy as np
import pytest

from instanceid_utils import Embedder, cli
from instanceid_utils.embedding.weights import shipped


def crops():
    rng = np.random.default_rng(0)
    found = rng.integers(0, 256, (3, 64, 64, 4)).astype(np.uint8)
    found[..., 3] = np.where(found[..., 3] > 60, 255, 0)
    found[..., :3][found[..., 3] == 0] = 128
    return found


def run_onnx(path, batch):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["embeddings"], {"crops": batch})[0]


def run_tflite(path, batch):
    tf = pytest.importorskip("tensorflow")
    interpreter = tf.lite.Interpreter(str(path))
    entry, exit_ = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(entry["index"], batch.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry["index"], batch)
    interpreter.invoke()
    return interpreter.get_tensor(exit_["index"])


@pytest.mark.parametrize(("kind", "run"), [("onnx", run_onnx), ("tflite", run_tflite)])
def test_an_exported_file_gives_what_the_embedder_gives(tmp_path, kind, run):
    if kind == "tflite":
        pytest.importorskip("tensorflow")
    path = tmp_path / f"embedding.{kind}"
    assert cli.main(["export", str(path)]) == 0
    embedder = Embedder.pretrained()
    assert np.abs(run(path, crops()) - embedder.embed_crops(crops())).max() < 1e-4
    note = json.loads(path.with_suffix(".json").read_text())
    assert note["input"]["shape"] == ["batch", embedder.crop_size, embedder.crop_size, 4]
    assert note["input"]["fill"] == [128, 128, 128, 0] and note["input"]["margin"] == 0.1
    assert note["output"]["threshold"] == embedder.threshold
    assert note["weights_sha256"] == embedder.weights_sha256


def test_what_cannot_be_exported_is_said_in_a_line(tmp_path, capsys):
    assert cli.main(["export", str(tmp_path / "a.bin")]) == 1
    assert "ends in .onnx or .tflite" in capsys.readouterr().err
    assert cli.main(["export", str(shipped().with_suffix(".onnx"))]) == 1
    assert "would replace the card" in capsys.readouterr().err
    assert cli.main(["export", str(tmp_path / "a.onnx"), "--weights", "nowhere.json"]) == 1
    assert "nowhere.json" in capsys.readouterr().err
