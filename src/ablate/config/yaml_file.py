"""Files of YAML that a user may have written: a mistake in one is an error that names the file and the line."""

from pathlib import Path
from typing import Any

import yaml

from ablate.config.overrides import from_yaml
from ablate.errors import UserError

CURE = "check its brackets, quotes and indentation there"


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        UserError: it is not UTF-8, or not valid YAML.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "own.yaml"
        ...     _ = path.write_text("lr: 1e-3")
        ...     read_yaml(path)
        {'lr': 0.001}
    """
    try:
        return from_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise invalid(error, str(path)) from error


def read_mapping(path: Path, what: str) -> dict[str, Any]:
    """Return the content of a YAML file that holds keys with values.

    Args:
        path: of the file.
        what: the keys that it may have, for the message.

    Raises:
        UserError: it holds something else, or is not valid YAML.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping ({what}), got {content!r:.60}")
    return content


def invalid(error: yaml.YAMLError, path: str = "") -> UserError:
    """Return the error of a file that is not valid YAML, with the line and column where reading failed.

    Args:
        error: of the reader.
        path: of the file; by default what the reader calls it.

    Example:
        >>> try:
        ...     yaml.safe_load("lr: [1")
        ... except yaml.YAMLError as error:
        ...     print(str(invalid(error, "own.yaml")).partition(";")[0])
        own.yaml is not valid YAML: line 1, column 7: expected ',' or ']', but got '<stream end>'
    """
    mark = getattr(error, "problem_mark", None)
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return UserError(f"{path or (mark.name if mark else 'a file')} is not valid YAML: {where}{problem}; {CURE}")
