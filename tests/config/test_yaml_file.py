"""Files of YAML: mistakes in them are errors that name the file, the place and the cure."""

import pytest

from ablate.config.yaml_file import read_mapping, read_yaml
from ablate.errors import UserError


def test_invalid_yaml_names_the_file_the_line_and_the_cure(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("base: []\ngrids: [product: {activation: [relu}]\n")
    with pytest.raises(
        UserError, match=r"own\.yaml is not valid YAML: line 2, column \d+: expected .*; check its brack"
    ):
        read_yaml(path)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_bytes("# Zürich".encode("latin-1"))
    with pytest.raises(UserError, match=r"own\.yaml is not UTF-8: invalid .* at byte 3; save it as UTF-8"):
        read_yaml(path)


@pytest.mark.parametrize("content", ["", "[1, 2]", "a"])
def test_what_is_not_a_mapping_is_refused(tmp_path, content):
    path = tmp_path / "own.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=r"own\.yaml must hold a mapping \(base, knobs\), got"):
        read_mapping(path, "base, knobs")
