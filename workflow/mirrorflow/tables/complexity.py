"""The table of costs: ours, measured on the machine at hand, beside those of MIRROR's section V-D."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mirrorflow.tables.render import in_brackets

MEASURES = {
    "parameters_m": ("params_{stage}_m", "params_m"),
    "gflops": ("gflops_{stage}", "gflops"),
    "samples_per_second": ("{run}_samples_per_s_rtx3090",),
    "peak_memory_gb": ("peak_gb_{stage}", "peak_gb"),
}
"""Our measure -> the published ones that say the same, the closest first."""
RUN = {"pretrain": "pretrain", "downstream": "inference"}
EPOCH = "epoch_seconds"
"""Of ours alone."""
HEADER = {
    "method": "Method",
    "stage": "Stage",
    "parameters_m": "Parameters (M)",
    "gflops": "GFLOPs a sample",
    "samples_per_second": "Samples/s",
    "peak_memory_gb": "Peak memory (GB)",
}


def complexity_table(measured: Sequence[Mapping[str, Any]], published: pd.DataFrame) -> pd.DataFrame:
    """``measured`` rows (method, stage, the measures, further columns) with the published values beside them.

    For each measure ``published_<measure>``, and ``suspect_<measure>``: why that value is in doubt, "" where it is not.
    """
    known = published[(published["paper"] == "mirror") & (published["table"] == "V-D")].set_index(["method", "metric"])
    rows = []
    for row in measured:
        beside: dict[str, Any] = {}
        for measure, choices in MEASURES.items():
            keys = [(row["method"], name.format(stage=row["stage"], run=RUN[row["stage"]])) for name in choices]
            found = next((known.loc[key] for key in keys if key in known.index), None)
            beside[f"published_{measure}"] = None if found is None else found["mean"]
            beside[f"suspect_{measure}"] = "" if found is None else found["suspect"]
        rows.append({**row, **beside})
    return pd.DataFrame(rows).astype({f"published_{measure}": float for measure in MEASURES})


def shown(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """For a reader: four significant digits, the published value in brackets, with ``suspect`` where it is in doubt."""
    columns: dict[str, list[str]] = {
        "Method": [titles.get(name, name) for name in table["method"]],
        "Stage": table["stage"].tolist(),
    }
    for measure in MEASURES:
        cells = table[[measure, f"published_{measure}", f"suspect_{measure}"]].to_numpy()
        columns[HEADER[measure]] = [f"{ours:.4g}" + in_brackets(theirs, suspect) for ours, theirs, suspect in cells]
    if EPOCH in table:
        columns["Seconds an epoch"] = [f"{seconds:.4g}" for seconds in table[EPOCH]]
    return pd.DataFrame(columns)
