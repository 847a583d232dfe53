"""JSON is read, or refused with the name of the file and of the error's kind."""

import pytest

from instanceid_utils.formats import FormatError
from instanceid_utils.json_files import read_json


def test_json_in_any_of_its_encodings_is_read(tmp_path):
    path = tmp_path / "a.json"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes('{"ä": [1]}'.encode(encoding))
        assert read_json(path) == {"ä": [1]}


@pytest.mark.parametrize("error", [ValueError, FormatError])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: not JSON"),
        (b'{\n"a": 1,\n}', "line 3: not JSON"),
        (b'"\xff"', "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
    ids=["empty", "third line", "no text", "deep"],
)
def test_what_is_none_is_refused(tmp_path, content, message, error):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(error, match=rf"a\.json: {message}"):
        read_json(path, error)
