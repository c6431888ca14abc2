"""Collections on disk."""

from dataclasses import replace

import pytest

from ablate.study.collection import Collection, others, read_collection, write_collection
from ablate.sweep.begin import begin
from builders.studies import manifest


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "studies" / "s-00000000"


def test_a_collection_survives_the_disk_and_finds_those_of_other_budgets(folder):
    manifests = [(begin(manifest(), folder), folder)]
    fields = {
        "name": "lecture",
        "title": "T",
        "source": "",
        "command": "ablate study=lecture",
        "folders": [folder.name],
    }
    quick, full = (Collection(profile=profile, **fields) for profile in ("quick", "full"))
    places = [one.folder_in(folder.parent.parent) for one in (quick, full)]
    assert places[0].name.startswith("lecture-quick-")
    for one, place in zip((quick, full), places, strict=True):
        write_collection(one, place)
    assert read_collection(places[0]) == quick
    assert read_collection(folder) is None
    assert quick.studies(places[0]) == manifests
    assert others(quick, places[0]) == ([full], [])
    old = folder.parent / "lecture-old"
    old.mkdir()
    (old / "collection.json").write_text('{"schema": 0}')
    beside, unread = others(quick, places[0])
    assert beside == [full]
    assert len(unread) == 1 and "lecture-old" in unread[0] and "schema 0" in unread[0]
    with pytest.raises(ValueError, match="does not exist any more"):
        replace(quick, folders=["gone"]).studies(places[0])
