"""What is given away holds no path of the computer that wrote it, and nothing else is changed."""

import json

import pytest

from ablate.storage.integrity import sealed
from ablate.storage.portable import portable, portable_file

RECORD = {
    "settings": {
        "output_dir": "/home/ann/my runs",
        "data": {"root": "/srv/data/", "cache_dir": None, "path": "images.npz"},
        "net": {"path": "/opt/weights"},
    },
    "metrics": {"test/accuracy": 0.5},
}


def test_paths_of_the_settings_keep_their_last_part_in_every_text():
    content = {**RECORD, "command": "ablate 'output_dir=/home/ann/my runs' data.root=/srv/data net.path=/opt/weights"}
    found = portable(content)
    assert found["settings"]["output_dir"] == "my runs"
    assert found["settings"]["data"] == {"root": "data/", "cache_dir": None, "path": "images.npz"}
    assert found["settings"]["net"] == {"path": "/opt/weights"}  # of the user's own, and part of what the run is
    assert found["command"] == "ablate 'output_dir=my runs' data.root=data net.path=/opt/weights"
    assert found["metrics"] == RECORD["metrics"]
    assert content["settings"]["output_dir"] == "/home/ann/my runs"


def test_paths_are_found_in_overrides_alone():
    content = {"overrides": ["data.root=/srv/data", "output_dir=/tmp/o"], "command": "ablate data.root=/srv/data"}
    assert portable(content) == {"overrides": ["data.root=data", "output_dir=o"], "command": "ablate data.root=data"}


def test_a_path_that_another_begins_with_is_left():
    content = {"output_dir": "/srv/data", "note": "/srv/database, /srv/data-2, /srv/data/x and /srv/data."}
    assert portable(content)["note"] == "/srv/database, /srv/data-2, data/x and data."


@pytest.mark.parametrize(
    "content", [{"output_dir": "outputs"}, {"a": [1, None, "/etc/hosts"]}, "text", {"output_dir": "/"}]
)
def test_what_has_none_stays_as_it_is(content):
    assert portable(content) == content


def test_a_sealed_file_gets_its_checksum_and_another_is_copied(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps(sealed(RECORD)))
    portable_file(tmp_path / "record.json", tmp_path / "copy" / "record.json")
    found = json.loads((tmp_path / "copy" / "record.json").read_text())
    assert found == sealed({key: value for key, value in found.items() if key != "sha256"})
    assert "/home/ann" not in json.dumps(found)
    (tmp_path / "x.npz").write_bytes(b"output_dir=/home/ann")
    portable_file(tmp_path / "x.npz", tmp_path / "copy" / "x.npz")
    assert (tmp_path / "copy" / "x.npz").read_bytes() == b"output_dir=/home/ann"
