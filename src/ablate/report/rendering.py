"""Render the templates of the pages: text escaped, the style sheet inside, no script."""

from pathlib import Path
from typing import Any

from ablate.report.colours import on_dark
from ablate.report.notes import failed
from ablate.report.phrases import OUTCOME_STYLES, probability
from ablate.tables import printable

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **content: Any) -> str:
    """Return a page, its control characters as text: some change the direction of what follows.

    Args:
        template: name of a file in templates/.
        content: the variables of the template; `styles` and `dark` (`colours.on_dark`) are always there.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environ = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environ.filters |= {"probability": probability, "breakable": breakable, "failed": failed}
    return printable(environ.get_template(template).render(styles=OUTCOME_STYLES, dark=on_dark(), **content))


def breakable(key: str) -> Any:
    """Return a key such as initial/gradient_norm/first_last, escaped, as text that may break after each "/"."""
    from markupsafe import Markup, escape

    return Markup("/<wbr>").join(escape(part) for part in key.split("/"))
