# SPDX-License-Identifier: MIT
"""Draws how far each figure is from its target, with gnuplot."""

import os
import shutil
import subprocess

from servers import Failure

ROW = 26  # pixels for a bar
MARGIN = 120
TIMEOUT_S = 60


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def bars(results):
    """(name, what is written beside it, score) for each target whose score is known."""
    for result in results:
        for target in result["targets"]:
            if target["score"]:
                yield result["figure"], f"{target['got']}, target {target['target']}", target["score"]


def script(rows, path):
    """What gnuplot is to do: bars from 1, the target, to the score, on a logarithmic scale, what is met to the left."""
    scores = [score for _, _, score in rows]
    low, high = min(scores + [0.5]) / 1.5, max(scores + [2]) * 1.5
    lines = [
        f"set terminal svg size 1000,{MARGIN + ROW * len(rows)} font 'sans,12' background 'white' noenhanced",
        f"set output {quoted(path)}",
        "set title 'measured, in units of the target: left of the line it is met'",
        f"set logscale x; set xrange [{low}:{high}]; set yrange [{len(rows) - 0.3}:-0.7]",
        "set ytics (" + ", ".join(f"{quoted(name)} {i}" for i, (name, _, _) in enumerate(rows)) + ") nomirror",
        "set style fill solid 0.6 noborder; unset key; set rmargin 48; set grid xtics",
        "set arrow from 1, graph 0 to 1, graph 1 nohead linewidth 2 front",
        "$bars << END",
    ]
    for i, (_, text, score) in enumerate(rows):
        left, right = min(1, score), max(1, score)
        lines.append(f"{score} {i} {left} {right} {i - 0.35} {i + 0.35} {0x3a8f3a if score <= 1 else 0xc0392b} {quoted(text)}")
    return "\n".join(lines + [
        "END",
        f"plot $bars using 1:2:3:4:5:6:7 with boxxyerror linecolor rgb variable, "
        f"$bars using ({high}):2:8 with labels left offset 1,0 font 'sans,10'",
    ]) + "\n"


def draw(results, path):
    gnuplot, rows = shutil.which("gnuplot"), list(bars(results))
    if not gnuplot:
        raise Failure("gnuplot is not installed (Debian: gnuplot-nox)")
    if not rows:
        raise Failure("no figure with a target was measured")
    try:
        done = subprocess.run([gnuplot], input=script(rows, os.path.abspath(path)), text=True, stderr=subprocess.PIPE,
                              timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as e:
        raise Failure("gnuplot did not end") from e
    if done.returncode != 0 or not os.path.exists(path):
        raise Failure(f"gnuplot: status {done.returncode}: {done.stderr.strip()}")
