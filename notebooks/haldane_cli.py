"""What the notebooks share: they ask the program `haldane`, by its command line and over HTTP, resample services, and show what came out."""

import json
import os
import re
import subprocess
import tempfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from IPython.display import Markdown, display
from scipy import stats

HALDANE = os.environ.get("HALDANE_BIN", "haldane")
RECORDED = Path(__file__).parent.parent / "fixtures/datasets/canaries.jsonl"

plt.rcParams |= {"figure.dpi": 70, "figure.figsize": (8, 4), "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}


# What a recording says of a canary; all else it says of each of its metrics.
CANARY = ["id", "source", "group", "label", "pairing", "step_seconds"]


def canaries():
    """The recorded canaries, a row for each and metric."""
    return pl.read_ndjson(RECORDED, infer_schema_length=None).explode("metrics").unnest("metrics")


def recording(metrics):
    """Such rows as `haldane replay` reads them, a line for each canary."""
    def metric(row):
        return {field: value for field, value in row.items() if value is not None and field not in CANARY}

    columns = [column for column in CANARY if column in metrics.columns]
    by_canary = metrics.group_by(columns, maintain_order=True)
    lines = ({**dict(zip(columns, canary)), "metrics": list(map(metric, rows.to_dicts()))} for canary, rows in by_canary)
    return "".join(json.dumps(line) + "\n" for line in lines)


def replay(metrics, *options, config=None):
    """`haldane replay` of such rows: its summary, and a row for each canary, judge and metric."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "canaries.jsonl").write_text(recording(metrics))
        if config is not None:
            (folder / "config.yaml").write_text(json.dumps(config))
            options += ("--config", folder / "config.yaml")
        command = [HALDANE, "replay", folder / "canaries.jsonl", "--format", "json", "--strict", "--output", folder / "rows.jsonl", *options]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout), pl.read_ndjson(folder / "rows.jsonl", infer_schema_length=None)


@contextmanager
def service():
    """`haldane serve` on a free port for as long as the block runs: a function that judges the body of a request."""
    command = [HALDANE, "serve", "--listen", "127.0.0.1:0", "--log-format", "json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            said = (re.search(r"listening on (http://[0-9.:]+)", line) for line in server.stderr)
            url = next(filter(None, said))[1]

            def judge(config, samples, **body):
                body = json.dumps({"config": config, "samples": samples, **body}).encode()
                request = urllib.request.Request(f"{url}/v1/judgements", body, {"content-type": "application/json"})
                with urllib.request.urlopen(request) as reply:
                    return json.load(reply)

            yield judge
        finally:
            server.terminate()


def draws(groups, rounds=2000):
    """For each round how often each group is drawn, when as many are drawn with replacement as there are."""
    return np.random.default_rng(1).multinomial(groups, np.full(groups, 1 / groups), rounds)


def rate(frame, hit):
    """The share of rows for which `hit` holds, and its 95 % interval: services are resampled; where all of them agree, Clopper and Pearson's of so many services."""
    by_service = frame.group_by("group").agg(hit.sum().alias("hits"), pl.len().alias("rows")).sort("group")
    hits, rows = by_service["hits"].to_numpy(), by_service["rows"].to_numpy()
    share, services = hits.sum() / rows.sum(), len(rows)
    if share in (0, 1):
        bounds = stats.binomtest(int(share * services), services).proportion_ci(0.95, "exact")
        return share, bounds.low, bounds.high
    drawn = draws(services)
    low, high = np.quantile(drawn @ hits / (drawn @ rows), [0.025, 0.975])
    return share, float(low), float(high)


def percent(share, low=None, high=None, digits=0):
    """A share in words, with its interval where there is one."""
    words = f"{100 * share:.{digits}f} %"
    return words if low is None else f"{words} ({100 * low:.{digits}f} to {100 * high:.{digits}f})"


def table(frame):
    """Shows a frame as a table."""
    with pl.Config(tbl_formatting="MARKDOWN", tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_rows=-1, tbl_cols=-1,
                   tbl_width_chars=400, fmt_str_lengths=200):
        display(Markdown(str(frame)))


def answer(text):
    """Shows the answer."""
    display(Markdown(f"**Answer.** {text}"))
