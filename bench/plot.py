"""Plots of what the benches print, as SVG.

plot.py FOLDER [FILE...]: reads JSON lines (`duramen bench ... --json`, `duramen tune --format jsonl`)
from FILEs or standard input, and writes FOLDER/wal_servers.svg and FOLDER/tune.svg, of those that
there are lines for. `./run plots` measures and plots.
"""
import fileinput
import html
import json
import math
import os
import statistics
import sys

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 80, 150, 40, 50
COLORS = ['#1f6fb4', '#d1590b', '#2a8f3c', '#8a4fb0', '#b8252b', '#6b5a4e', '#0f8f8f', '#777777']


def short(value):
    """1500000 -> 1.5M; as few digits as tell it."""
    for limit, unit in ((1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
        if value >= limit:
            return f'{value / limit:.3g}{unit}'
    return f'{value:.3g}'


class Axis:
    """Values to places; logarithmic, or linear from zero."""

    def __init__(self, values, begin, end, log):
        self.log, self.begin, self.end = log, begin, end
        self.low = min(values) if log else 0
        self.high = max(values)
        if self.high <= self.low:
            self.high = self.low * 2 or 1

    def place(self, value):
        scale = math.log if self.log else float
        low, high = scale(self.low) if self.log else 0, scale(self.high)
        return self.begin + (scale(value) - low) / (high - low) * (self.end - self.begin)

    def ticks(self):
        if not self.log:
            step = 10 ** math.floor(math.log10(self.high / 2))
            while self.high / step > 6:
                step *= 2 if self.high / step < 12 else 5
            return [step * i for i in range(int(self.high / step) + 1)]
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        return [10 ** i for i in range(first, last + 1) if self.low <= 10 ** i <= self.high]


def chart(title, x_name, y_name, series, log_y=False, x_ticks=None):
    """`series`: name -> {x: [y, ...]}. A line through the medians, and every point."""
    xs = [x for points in series.values() for x in points]
    ys = [y for points in series.values() for all_y in points.values() for y in all_y]
    x_axis = Axis(xs, LEFT, WIDTH - RIGHT, True)
    y_axis = Axis(ys, HEIGHT - BOTTOM, TOP, log_y)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>']

    def text(x, y, words, anchor='middle', more=''):
        out.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>'
                   f'{html.escape(words)}</text>')

    def line(x1, y1, x2, y2, color):
        out.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>')

    text(LEFT, TOP - 16, title, 'start', 'font-size="15"')
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_name)
    text(16, (TOP + HEIGHT - BOTTOM) / 2, y_name, 'middle',
         f'transform="rotate(-90 16 {(TOP + HEIGHT - BOTTOM) / 2})"')
    for value in y_axis.ticks():
        y = y_axis.place(value)
        line(LEFT, y, WIDTH - RIGHT, y, '#ddd')
        text(LEFT - 6, y + 4, short(value), 'end')
    for value in x_ticks or x_axis.ticks():
        x = x_axis.place(value)
        line(x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 4, '#444')
        text(x, HEIGHT - BOTTOM + 18, short(value))
    line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, '#444')
    for number, (name, points) in enumerate(sorted(series.items())):
        color = COLORS[number % len(COLORS)]
        path = ' '.join(f'{x_axis.place(x):.1f},{y_axis.place(statistics.median(points[x])):.1f}'
                        for x in sorted(points))
        out.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        for x, all_y in points.items():
            for y in all_y:
                out.append(f'<circle cx="{x_axis.place(x):.1f}" cy="{y_axis.place(y):.1f}" r="3" '
                           f'fill="{color}"/>')
        y = TOP + 18 * number
        line(WIDTH - RIGHT + 14, y, WIDTH - RIGHT + 34, y, color)
        text(WIDTH - RIGHT + 40, y + 4, name, 'start')
    return '\n'.join(out + ['</svg>', ''])


def add(series, name, x, y):
    series.setdefault(name, {}).setdefault(x, []).append(y)


def main(folder, files):
    servers, tuned = {}, {}
    for line in fileinput.input(files):
        one = json.loads(line) if line.startswith('{') else {}
        if one.get('kind') == 'bench' and one.get('bench') == 'wal':
            add(servers, one['sync_method'], one['servers'], one['entries_per_s'])
        if one.get('kind') == 'tune' and one['layout'] == 'zero-filled' and one['ops_per_s'] > 0:
            depth = f' x {one["depth"]}' if one['method'] == 'dsync' else ''
            add(tuned, one['method'] + depth, one['bytes'], one['ops_per_s'])
    os.makedirs(folder, exist_ok=True)
    plots = {
        'wal_servers.svg': servers and chart('10,000 entries in flight', 'logs on one WAL',
                                             'entries made durable per second', servers),
        'tune.svg': tuned and chart('durable writes, zero-filled file', 'bytes of a write',
                                    'writes per second', tuned, True,
                                    sorted({x for points in tuned.values() for x in points})),
    }
    for name, plot in plots.items():
        if plot:
            with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
                file.write(plot)
            print(os.path.join(folder, name))


if __name__ == '__main__':
    if len(sys.argv) < 2 or sys.argv[1].startswith('-'):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    main(sys.argv[1], sys.argv[2:])
