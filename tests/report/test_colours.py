"""Colours on a dark ground."""

import pytest

from ablate.report.colours import DARK_GROUND, on_dark
from ablate.report.phrases import OUTCOME_STYLES
from ablate.report.plotting import COLOURS, INK, MUTED
from ablate.report.rendering import TEMPLATES


@pytest.mark.parametrize("colour", [INK, MUTED, *COLOURS, *(style.colour for style in OUTCOME_STYLES.values())])
def test_every_ink_can_be_read_on_the_dark_ground(colour):
    def luminance(found):
        parts = [int(found[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    assert (luminance(on_dark()[colour]) + 0.05) / (luminance(DARK_GROUND) + 0.05) >= 4.5


def test_figures_take_their_colours_from_the_page():
    style = (TEMPLATES / "style.css").read_text()
    assert "prefers-color-scheme: dark" in style and "--c{{ light[1:] }}: {{ colour }};" in style
