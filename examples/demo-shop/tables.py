"""The same canaries as long tables: canaries.csv has the windows of a subset, canaries.parquet all windows (histograms are left out)."""
import json
import sys
from pathlib import Path

import polars as pl

folder = Path(sys.argv[1])
BEGIN = 1_700_000_400
SUBSET = {"basket", "login"}
rows = []
for line in (folder / "canaries.jsonl").read_text().splitlines():
    case = json.loads(line)
    for m in case["metrics"]:
        for arm in ("baseline", "canary"):
            for i, value in enumerate(m.get(arm, [])):
                total = m[arm + "_totals"][i] if arm + "_totals" in m else None
                if arm + "_totals" in m:
                    value = value / total if value is not None and total else None
                if value is not None:
                    rows.append((case["id"], case["source"], case["group"], case["label"], m["name"], m["role"], m["direction"],
                                 m.get("unit", ""), arm, BEGIN + 60 * (i + 1), float(f"{value:.5g}")))
table = pl.DataFrame(rows, orient="row", schema=["case", "source", "group", "label", "metric", "role", "direction", "unit", "arm", "timestamp", "value"])
table.write_parquet(folder / "canaries.parquet", compression="zstd", compression_level=19)
table.filter(pl.col("group").is_in(SUBSET)).write_csv(folder / "canaries.csv")
