"""SciPy's Mann-Whitney test, and the same test compiled by numba, on the arms that `make bench-peers` has written.

python scipy_numba.py FOLDER: reads arms-N.csv, writes scipy_numba.json, seconds a pair by implementation and points an arm.
"""

import json
import math
import pathlib
import sys
import time

import numba
import numpy as np
from scipy.stats import mannwhitneyu

# Seconds for each implementation and size, and the least passes over the pairs, of which the median counts.
BUDGET = 5.0
PASSES = 5


@numba.njit(cache=False)
def mann_whitney(canary, baseline):
    """U of the canary and its two-sided p-value: normal, ties counted, corrected by 1/2; what SciPy's method "asymptotic" gives."""
    x, y = np.sort(canary), np.sort(baseline)
    n, m = x.size, y.size
    i = j = 0
    below = 0  # values of both arms before the group of ties
    ranks = 0.0
    ties = 0.0
    while i < n or j < m:
        if j >= m or (i < n and x[i] <= y[j]):
            value = x[i]
        else:
            value = y[j]
        a = b = 0
        while i < n and x[i] == value:
            i += 1
            a += 1
        while j < m and y[j] == value:
            j += 1
            b += 1
        t = a + b
        ranks += a * (below + (t + 1) / 2.0)
        ties += float(t) * t * t - t
        below += t
    u = ranks - n * (n + 1) / 2.0
    total = n + m
    deviation = math.sqrt(n * m / 12.0 * ((total + 1) - ties / (total * (total - 1.0))))
    z = (max(u, n * m - u) - n * m / 2.0 - 0.5) / deviation
    return u, min(1.0, math.erfc(z / math.sqrt(2.0)))


def seconds(test, pairs):
    """Seconds a pair: the median of the passes' means."""
    start = time.perf_counter()
    test(*pairs[0])
    once = time.perf_counter() - start
    pairs = pairs[: max(1, int(BUDGET / PASSES / once))]
    passes = []
    begun = time.perf_counter()
    while len(passes) < PASSES or (time.perf_counter() - begun < BUDGET and len(passes) < 1000):
        start = time.perf_counter()
        for pair in pairs:
            test(*pair)
        passes.append((time.perf_counter() - start) / len(pairs))
    return float(np.median(passes))


def main(folder):
    scipy_test = lambda canary, baseline: mannwhitneyu(canary, baseline, method="asymptotic")  # noqa: E731
    figures = {"SciPy mannwhitneyu (p-value)": {}, "numba, the same test (p-value)": {}}
    for path in sorted(folder.glob("arms-*.csv")):
        n = path.stem.removeprefix("arms-")
        arms = [np.array(line.split(","), dtype=float) for line in path.read_text().splitlines()]
        pairs = list(zip(arms[1::2], arms[0::2], strict=True))
        for canary, baseline in pairs[:5]:
            expected, given = scipy_test(canary, baseline), mann_whitney(canary, baseline)
            assert expected.statistic == given[0] and math.isclose(expected.pvalue, given[1], rel_tol=1e-9), (expected, given)
        for name, test in zip(figures, (scipy_test, mann_whitney), strict=True):
            figures[name][n] = seconds(test, pairs)
    (folder / "scipy_numba.json").write_text(json.dumps(figures, indent=2) + "\n")


main(pathlib.Path(sys.argv[1]))
