"""The style of all plots, and their conversion to SVG."""

import contextlib
import hashlib
import html
import io
import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK, MUTED, RULE, SHADE = "#1b2127", "#5b6470", "#d5dae0", "#edf0f3"
# Okabe and Ito's colours without yellow, which is lost on white; a second round is dashed.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#4d4d4d")

# The page has the same fonts in the same order, so that text is as wide as it was measured.
STYLE: Any = {
    "font.family": ["sans-serif", "DejaVu Sans"],  # the second has the symbols of the outcomes
    "font.sans-serif": ["Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a label may hold a dollar sign
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
}

FACTORS = (0.01, 0.02, 0.05, 0.1, 0.2, 1 / 3, 0.5, 2 / 3, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10, 20, 50, 100)

HINTED = 0.96  # width of a text without hinting, at least, as a share of that in pixels


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Apply this style inside a `with` block."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of that size in inches; a page is 11 inches wide."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def wrapped(text: str, width: float, size: float) -> list[str]:
    """Return a text as lines that fit into a width in the font that there is; one word never becomes two lines.

    Args:
        text: one paragraph.
        width: in inches.
        size: of the font, in points.

    Example:
        >>> with style():
        ...     wrapped("a short text", 10, 8.5), wrapped("a short text", 0.1, 8.5)
        (['a short text'], ['a', 'short', 'text'])
    """
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size) <= HINTED * width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def to_svg(figure: "Figure", alt: str, *, follows_page: bool = True) -> str:
    """Return the figure as an <svg> element: text stays text, nothing is loaded from elsewhere.

    Args:
        figure: drawn inside `style()`.
        alt: text alternative, what the figure shows.
        follows_page: whether its colours are those of the page, which has others on a dark ground (`colours.on_dark`).
    """
    import matplotlib

    text = io.StringIO()
    # The names of shapes are salted, since a page holds several figures and a name must be unique in it.
    with matplotlib.rc_context({"svg.hashsalt": hashlib.sha256(alt.encode()).hexdigest()}):
        figure.savefig(
            text, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    if follows_page:
        svg = re.sub(r"#([0-9a-f]{6})\b(?=[^<>]*>)", r"var(--c\1, #\1)", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt)}"', 1)


def fitting_size(texts: Sequence[str], inches: float, size: float, least: float = 5.0) -> float:
    """Return the largest font size from `least` to `size` at which every text is at most so wide."""
    widest = max((width_of(text, size) for text in texts), default=0.0)
    return size if widest <= inches else max(least, size * inches / widest)


def width_of(text: str, size: float) -> float:
    """Return the width of a line of text in inches, in the font of the style that is in force."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    dpi = 720  # fine enough that hinting does not matter
    renderer = RendererAgg(1, 1, dpi)
    width, _, _ = renderer.get_text_width_height_descent(text, FontProperties(size=size), False)
    return float(width) / dpi


def limits(values: Sequence[float | None], margin: float = 0.07) -> tuple[float, float]:
    """Return limits of an axis around the finite ones of `values`, a little apart from them.

    Example:
        >>> low, high = limits([0.0, 1.0, None])
        >>> round(low, 2), round(high, 2)
        (-0.07, 1.07)
    """
    finite = [value for value in values if value is not None and math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    room = margin * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def whisker(ax: "Axes", y: float, low: float | None, high: float | None, colour: str, width: float = 2.0) -> None:
    """Draw an interval from `low` to `high` at height `y`; an end outside the axis is an arrow."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return
    left, right = ax.get_xlim()
    ax.plot([max(low, left), min(high, right)], [y, y], color=colour, linewidth=width, solid_capstyle="butt", zorder=3)
    for end, edge, marker in ((low, left, "<"), (high, right, ">")):
        if (end < left) if marker == "<" else (end > right):
            ax.plot([edge], [y], marker=marker, color=colour, markersize=5, clip_on=False, zorder=3)


def factor_ticks(axis: "Axis", low: float, high: float) -> None:
    """Mark factors on an axis of natural logarithms that spans `low` to `high`, see `spaced_factors`."""
    kept = spaced_factors(low, high)
    axis.set_ticks([math.log(factor) for factor in kept], [factor_label(factor) for factor in kept])


def spaced_factors(low: float, high: float) -> list[float]:
    """Return factors whose natural logarithms lie in [low, high], at least an eighth of the range apart.

    1 comes first, then decades, then factors between them.

    Example:
        >>> spaced_factors(math.log(0.9), math.log(3))
        [1, 1.25, 1.5, 2, 3]
        >>> spaced_factors(math.log(0.5), math.log(4000))
        [1, 10, 100, 1000]
    """
    tens = [10.0**k for k in range(math.ceil(low / math.log(10)), math.floor(high / math.log(10)) + 1)]
    order = sorted({round(ten) if ten >= 1 else ten for ten in tens}, key=lambda ten: abs(math.log(ten)))
    kept: list[float] = []
    for factor in [*order, *sorted(FACTORS, key=lambda factor: abs(math.log(factor)))]:
        place = math.log(factor)
        if low <= place <= high and all(abs(place - math.log(other)) >= (high - low) / 8 for other in kept):
            kept.append(factor)
    return sorted(kept)


def factor_label(factor: float) -> str:
    """Return a factor as a tick's label; powers of ten from 10⁵ and to 10⁻⁴ with a raised exponent.

    Example:
        >>> factor_label(1 / 3), factor_label(0.02), factor_label(1000), factor_label(1e6)
        ('×0.33', '×0.02', '×1000', '×10⁶')
    """
    exponent = math.log10(factor)
    if exponent >= 5 or exponent <= -4:
        return f"×{power_of_ten(round(exponent))}"
    return f"×{factor:.2g}" if 0.1 <= factor < 100 else f"×{factor:g}"


def decade_ticks(axis: "Axis") -> None:
    """Label the decades of a logarithmic axis 10⁻² … 10², as text, since a label is not read as mathematics."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(round(math.log10(value)))))
    axis.set_minor_formatter(NullFormatter())


def power_of_ten(exponent: int) -> str:
    """Return 10 with a raised exponent, such as 10⁻².

    Example:
        >>> power_of_ten(-2)
        '10⁻²'
    """
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def plain_log_ticks(axis: "Axis") -> None:
    """Label 1, 2 and 5 of every decade of a logarithmic axis as plain numbers, for a range of few decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
