"""The colours of the pages on a dark ground: each keeps its hue and is mixed with white until it can be read."""

from ablate.report.phrases import OUTCOME_STYLES
from ablate.report.plotting import COLOURS, INK, MUTED, RULE, SHADE

GROUND = "#ffffff"
DARK_GROUND = "#14181d"
READABLE = 4.5  # least contrast of text to its ground: WCAG 2.2, 1.4.3
DARK = {INK: "#e8ebef", MUTED: "#a8b2bd", RULE: "#3a434e", SHADE: "#262d35", GROUND: DARK_GROUND}


def on_dark() -> dict[str, str]:
    """Return {colour on white: the same on a dark ground} of all colours of text and figures.

    Example:
        >>> on_dark()["#ffffff"], contrast(on_dark()["#00704f"], DARK_GROUND) >= READABLE
        ('#14181d', True)
    """
    inks = dict.fromkeys([*(style.colour for style in OUTCOME_STYLES.values()), *COLOURS])
    return {**DARK, **{ink: readable(ink, DARK_GROUND) for ink in inks}}


def readable(colour: str, ground: str) -> str:
    """Return a colour mixed with as little white as gives it a contrast of `READABLE` to a dark ground.

    Example:
        >>> readable("#ffffff", "#000000")
        '#ffffff'
    """
    for share in range(0, 101, 5):
        mixed = [round(c + (255 - c) * share / 100) for c in channels(colour)]
        found = "#" + "".join(f"{c:02x}" for c in mixed)
        if contrast(found, ground) >= READABLE:
            break
    return found


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21, as WCAG 2.2 defines it.

    Example:
        >>> contrast("#000000", "#ffffff")
        21.0
    """
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of an sRGB colour, 0 to 1 (WCAG 2.2)."""
    parts = (c / 255 for c in channels(colour))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def channels(colour: str) -> list[int]:
    """Return red, green and blue of "#rrggbb", 0 to 255."""
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
