import json
import math
import os

import pytest

from ablate.training.record import RECORD_NAME, SCHEMA_VERSION, finite, read_record, replacing, write_record
from builders.records import make_record


def test_round_trip(tmp_path):
    record = make_record()
    write_record(record, tmp_path)
    assert read_record(tmp_path) == record


def test_a_missing_record_is_none(tmp_path):
    assert read_record(tmp_path) is None


def test_json_holds_no_nan(tmp_path):
    write_record(make_record(metrics={"test/loss": math.nan}, history=[{"train/loss": math.inf}]), tmp_path)

    def refuse(constant):
        raise AssertionError(constant)

    content = json.loads((tmp_path / RECORD_NAME).read_text(), parse_constant=refuse)
    assert content["metrics"] == {"test/loss": None}
    assert content["history"] == [{"train/loss": None}]


def test_finite_goes_into_lists_and_mappings():
    assert finite({"a": [1.0, -math.inf, (math.nan, "x")]}) == {"a": [1.0, None, [None, "x"]]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", ["not valid JSON"]),
        (json.dumps({"schema": 99}), ["schema 99", str(SCHEMA_VERSION), "update"]),
        (json.dumps({"schema": SCHEMA_VERSION, "arm": "x"}), ["lacks", "fingerprint", "status"]),
        ("[]", ["schema None"]),
    ],
)
def test_an_unreadable_record_is_named(tmp_path, content, words):
    (tmp_path / RECORD_NAME).write_text(content)
    with pytest.raises(ValueError, match=RECORD_NAME) as error:
        read_record(tmp_path)
    assert all(word in str(error.value) for word in words)


def test_replacing_leaves_the_old_file_when_the_block_fails(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def interrupted():
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_replacing_puts_the_new_file_in_place(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file.txt"]
