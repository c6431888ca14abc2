"""Filling the templates of the pages: text escaped, the style inside, no script."""

from pathlib import Path
from typing import Any

from ablate.report.phrases import OUTCOME_STYLES, percent, probability
from ablate.report.verdicts import failed

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **content: Any) -> str:
    """Return a page.

    Args:
        template: name of a file in templates/.
        content: what the template names, but for `looks`, which every page has.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environ = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environ.filters |= {"probability": probability, "percent": percent, "breakable": breakable, "failed": failed}
    return environ.get_template(template).render(looks=OUTCOME_STYLES, **content)


def breakable(key: str) -> Any:
    """Return a key such as initial/gradient_norm/first_last, escaped, as text that may be broken behind each "/"."""
    from markupsafe import Markup, escape

    return Markup("/<wbr>").join(escape(part) for part in key.split("/"))
