"""Markdown tables of what the benchmarks have measured. Needs nothing but Python.

python table.py judgement TARGET: what criterion (TARGET/criterion) and the replay (TARGET/bench-replay.json) have measured.
python table.py peers FOLDER: what each implementation has written into FOLDER.
"""

import json
import pathlib
import sys

POINTS = ["60", "240", "1440", "10080"]
# Rows of the metric's table: how a reader calls what criterion calls so.
METRIC = {
    "copy_both_arms": "copy both arms",
    "sort_both_arms": "sort both arms",
    "mann_whitney": "Mann-Whitney test, arms sorted",
    "hodges_lehmann": "Hodges-Lehmann shift, arms sorted",
    "paired_rank_test": "paired rank test",
    "judge_value": "`haldane-v1`, value",
    "judge_value_past": "the same, 20 windows before",
    "judge_ratio": "`haldane-v1`, ratio with counts",
    "judge_ratio_past": "the same, 20 windows before",
    "judge_ratio_without_counts": "`haldane-v1`, ratio without counts",
    "judge_ratio_without_counts_past": "the same, 20 windows before",
    "judge_distribution": "`haldane-v1`, distribution of 21 buckets",
    "judge_distribution_past": "the same, 20 windows before",
    "judge_events": "`haldane-v1`, events",
    "judge_events_past": "the same, 20 windows before",
    "judge_value_aca": "`NetflixACAJudge-v1.0`, value",
}
OTHERS = {
    ("canary", "judge_50_metrics", "60"): "judge 50 metrics of 60 points",
    ("canary", "judge_50_metrics_past", "60"): "the same, 20 windows before",
    ("canary", "judge_50_metrics", "1440"): "judge 50 metrics of 1,440 points",
    ("canary", "judge_50_metrics_past", "1440"): "the same, 20 windows before",
    ("request", "json_in_to_json_out", "10"): "10 metrics of 60 points, JSON in to JSON out",
    ("request", "parse_body", "10"): "parse such a request",
    ("request", "write_reply", "10"): "write such a reply",
    ("request", "json_in_to_json_out", "50"): "50 metrics of 60 points, JSON in to JSON out",
    ("request", "parse_body", "50"): "parse such a request",
    ("request", "write_reply", "50"): "write such a reply",
}


def number(x):
    """Three digits, or the whole number."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def duration(seconds):
    for factor, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{number(seconds * factor)} {unit}"
    return f"{number(seconds)} s"


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("| --- |" + " ---: |" * (len(head) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def judgement(target):
    def median(*path):
        file = target.joinpath("criterion", *path, "new", "estimates.json")
        return json.loads(file.read_text())["median"]["point_estimate"] / 1e9 if file.exists() else None

    def cell(name, n):
        taken, sort = median("metric", name, n), median("metric", "sort_both_arms", n)
        if taken is None or sort is None:
            return "-"
        return duration(taken) if name == "sort_both_arms" else f"{duration(taken)} ({number(taken / sort)})"

    print("Time a metric, and in brackets that time beside the sort of the same arms:\n")
    table(["points an arm", *(f"{int(n):,}" for n in POINTS)], ([shown, *(cell(name, n) for n in POINTS)] for name, shown in METRIC.items()))
    table(["whole", "time"], ([shown, duration(taken)] for path, shown in OTHERS.items() if (taken := median(*path)) is not None))
    file = target / "bench-replay.json"
    if file.exists():
        replay = json.loads(file.read_text())
        print(f"`haldane replay` of {replay['canaries']:,} canaries of {replay['metrics']} metrics of {replay['points']} points")
        print(f"an arm, {replay['bytes'] / 1e6:,.0f} MB of JSON lines:\n")
        rows = [
            [str(run["threads"]), f"{run['seconds']:.1f} s", f"{run['metric_pairs_per_second']:,.0f} /s", f"{run['peak_memory_bytes'] / 1e6:.0f} MB"]
            for run in replay["runs"]
        ]
        table(["threads", "time", "pairs of arms", "memory at most"], rows)


def peers(folder):
    figures = {}
    for name in ("haldane", "scipy_numba", "wilcox", "commons_math", "kayenta"):
        file = folder / f"{name}.json"
        if file.exists():
            figures |= json.loads(file.read_text())
    own, rule = (figures[name] for name in ("haldane's NetflixACAJudge-v1.0", "haldane-v1"))
    print("Time a metric; in brackets how many times that of `haldane-v1`, and of haldane's `NetflixACAJudge-v1.0`, it is:\n")

    def cell(taken, n):
        return f"{duration(taken[n])} ({number(taken[n] / rule[n])}; {number(taken[n] / own[n])})"

    order = sorted(figures.items(), key=lambda item: item[1]["1440"])
    table(["points an arm", *(f"{int(n):,}" for n in POINTS)], ([name, *(cell(taken, n) for n in POINTS)] for name, taken in order))
    if not (folder / "kayenta.json").exists():
        print("Kayenta's own judge was not measured: KAYENTA_LIB names no folder with its jars.")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["judgement", target]:
            judgement(pathlib.Path(target))
        case ["peers", folder]:
            peers(pathlib.Path(folder))
        case _:
            sys.exit(__doc__)
