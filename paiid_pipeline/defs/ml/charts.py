"""Line charts as Markdown images: an SVG written by hand, so that no plotting library is loaded."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 30, 24
COLOURS = ("#2563eb", "#64748b", "#d97706", "#059669", "#dc2626")
MOST_POINTS = 400


def line_chart(title: str, lines: Mapping[str, Sequence[float]], first: str, last: str) -> str:
    """A Markdown image of some lines over the same moments, at least one line with a point.

    ``first`` and ``last`` label the ends of the time axis. Long lines are thinned to every n-th point,
    the last one kept.
    """
    values = [value for line in lines.values() for value in line]
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 18, title, "start", "#0f172a"),
        *_grid(low, high),
        _text(LEFT, HEIGHT - 7, first, "start"),
        _text(WIDTH - RIGHT, HEIGHT - 7, last, "end"),
    ]
    colours = dict(zip(lines, COLOURS, strict=False))
    parts += [_line(line, low, high, colours[name]) for name, line in reversed(list(lines.items()))]
    for place, name in enumerate(reversed(list(lines))):
        parts.append(_text(WIDTH - RIGHT - 110 * place, 18, name, "end", colours[name]))
    image = b64encode("".join([*parts, "</svg>"]).encode()).decode()
    return f"![{title}](data:image/svg+xml;base64,{image})"


def _height(value: float, low: float, high: float) -> float:
    return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _grid(low: float, high: float) -> list[str]:
    parts = []
    for step in range(5):
        value = low + (high - low) * step / 4
        y = _height(value, low, high)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e2e8f0"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{value:.4g}", "end"))
    return parts


def _line(line: Sequence[float], low: float, high: float, colour: str) -> str:
    step = max(1, -(-len(line) // MOST_POINTS))
    kept = sorted({*range(0, len(line), step), len(line) - 1})
    across = (WIDTH - LEFT - RIGHT) / max(len(line) - 1, 1)
    points = " ".join(f"{LEFT + index * across:.1f},{_height(line[index], low, high):.1f}" for index in kept)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#64748b") -> str:
    return f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
