"""Tables of a method's genes from the folds' attributions: every gene, how folds and baselines agree, gene sets."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.expression.importance import agreement, by_symbol, overlap, ranks, set_tests
from mirrorflow.steps.explained.fold_models import BASELINES, MEAN, PERMUTED, RANDOM
from mirrorflow.steps.explained.gene_attributions import FoldFound

COLUMNS = {"training mean": "share", "zero": "share_zero", "training patients": "share_training_patients"}
NULLS = {RANDOM: "share_random_weights", PERMUTED: "share_permuted_labels"}
Coefficients = Mapping[str, Sequence[Mapping[str, float]]]
"""Linear method -> coefficients by gene, one mapping a fold."""


def gene_table(
    folds: Sequence[FoldFound], symbols: Mapping[str, str], census: Collection[str], linear: Coefficients
) -> pd.DataFrame:
    """A row a gene that any fold's model has, the largest share first.

    Shares are means over the folds that have the gene: counting it as 0 in others would put census genes, which every
    fold keeps, ahead of those that a fold chose. rank: among all genes of the method.
    """
    found = {name: _mean([_named(one, one.importance(kind)) for one in folds]) for kind, name in COLUMNS.items()}
    every_fold = _beside([_named(one, one.importance()) for one in folds])
    found |= {"share_least": every_fold.min(axis=1), "share_most": every_fold.max(axis=1)}
    found["direction"] = _mean([_named(one, _direction(one)) for one in folds])
    for kind, name in NULLS.items():
        every = [_named(one, values) for one in folds for own, values in one.nulls if own == kind]
        found |= {name: _mean(every)} if every else {}
    table = pd.DataFrame(found).rename_axis("id").reset_index()
    table = table.sort_values(["share", "id"], ascending=[False, True], kind="stable").reset_index(drop=True)
    table.insert(1, "symbol", [symbols.get(name, "") for name in table["id"]])
    table.insert(2, "census", table["id"].isin(set(census)))
    table.insert(3, "rank", np.arange(1, len(table) + 1))
    table["folds"] = [sum(name in set(one.ids) for one in folds) for name in table["id"]]
    table["rank_by_fold"] = _ranks_by_fold(folds, table["id"].tolist())
    for method, by_fold in linear.items():
        values = _mean([pd.Series(one, dtype=float) / (sum(one.values()) or 1.0) for one in by_fold if one])
        table[f"rank_{method}"] = _rank_of(table["id"], values)
    return rounded(table)


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers with five significant digits: files are the same on machines that add in another order."""
    numbers = table.select_dtypes("float").columns
    return table.assign(**{name: [float(f"{value:.5g}") for value in table[name]] for name in numbers})


def _named(one: FoldFound, values: np.ndarray) -> pd.Series:
    return pd.Series(values, index=one.ids)


def _direction(one: FoldFound) -> np.ndarray:
    values = one.signed[MEAN]
    return values.mean(0) if len(values) else np.full(len(one.ids), np.nan)


def _mean(parts: Sequence[pd.Series]) -> pd.Series:
    """Mean over the parts that have the gene."""
    return _beside(parts).mean(axis=1)


def _beside(parts: Sequence[pd.Series]) -> pd.DataFrame:
    """A column a part that has values; NaN everywhere where none has."""
    known = [part for part in parts if len(part) and part.notna().all()]
    if not known:
        return pd.DataFrame({0: np.nan}, index=sorted({name for part in parts for name in part.index}), dtype=float)
    return pd.concat(known, axis=1)


def _ranks_by_fold(folds: Sequence[FoldFound], ids: Sequence[str]) -> list[str]:
    placed = []
    for one in folds:
        values = one.importance()
        known = not np.isnan(values).any()
        placed.append(dict(zip(one.ids, ranks(values).tolist(), strict=True)) if known else {})
    return [" ".join(str(one.get(name, "-")) for one in placed) for name in ids]


def _rank_of(ids: pd.Series, values: pd.Series) -> list[Any]:
    ordered = dict(zip(values.index, ranks(values.to_numpy()).tolist(), strict=True)) if values.notna().all() else {}
    return [ordered.get(name, "") for name in ids]


def measures(folds: Sequence[FoldFound], linear: Coefficients, settings: Mapping[str, Any]) -> pd.DataFrame:
    """What holds of the shares, a row a measure: fold (empty: all), measure, of, value, by chance, p, n."""
    rows = [row for one in folds for row in _of_fold(one, settings)]
    for method, by_fold in linear.items():
        rows += [_linear_row(one, method, found) for one, found in zip(folds, by_fold, strict=True) if found]
    rows += _overlaps(folds, settings["compared"])
    columns = ["fold", "measure", "of", "value", "by_chance", "p", "n"]
    return rounded(pd.DataFrame(rows, columns=columns))


def _of_fold(one: FoldFound, settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    asked = len({row["unit"] for row in one.patients})
    for kind in BASELINES:
        kept = len(one.signed[kind])
        yield {"fold": one.fold, "measure": "units kept", "of": kind, "value": kept, "n": asked}
    for first, second in combinations(BASELINES, 2):
        value = agreement(one.importance(first), one.importance(second))
        named = f"{first}, {second}"
        yield {
            "fold": one.fold,
            "measure": "rank agreement of baselines",
            "of": named,
            "value": value,
            "by_chance": 0.0,
        }
    for kind, values in one.nulls:
        value = agreement(one.importance(), values)
        yield {"fold": one.fold, "measure": "rank agreement with a null", "of": kind, "value": value, "by_chance": 0.0}
        shared, chance = _shared(one.importance(), values, settings["top"])
        yield {
            "fold": one.fold, "measure": "top genes shared with a null", "of": kind, "value": shared,
            "by_chance": chance, "n": settings["top"],
        }  # fmt: skip


def _shared(first: np.ndarray, second: np.ndarray, top: int) -> tuple[float, float]:
    if np.isnan(first).any() or np.isnan(second).any():
        return np.nan, np.nan
    both = [set(np.argsort(-values, kind="stable")[:top].tolist()) for values in (first, second)]
    return float(len(both[0] & both[1])), len(both[0]) ** 2 / len(first)


def _linear_row(one: FoldFound, method: str, found: Mapping[str, float]) -> dict[str, Any]:
    both = [at for at, name in enumerate(one.ids) if name in found]
    value = agreement(one.importance()[both], np.array([found[one.ids[at]] for at in both]))
    return {
        "fold": one.fold, "measure": "rank agreement with coefficients", "of": method, "value": value,
        "by_chance": 0.0, "n": len(both),
    }  # fmt: skip


def _overlaps(folds: Sequence[FoldFound], top: int) -> Iterator[dict[str, Any]]:
    """Of the models, and of one model of no meaning of each kind a fold."""
    for kind in ("the models", RANDOM, PERMUTED):
        lists = []
        for one in folds:
            nulls = [values for own, values in one.nulls if own == kind]
            values = one.importance() if kind == "the models" else nulls[0] if nulls else np.full(1, np.nan)
            if not np.isnan(values).any():
                lists.append(dict(zip(one.ids, values.tolist(), strict=True)))
        if (found := overlap(lists, top)) is not None:
            yield {
                "fold": "", "measure": f"top {top} shared by two folds", "of": kind, "value": found.shared,
                "by_chance": found.expected, "p": found.largest_p, "n": found.pairs,
            }  # fmt: skip


def set_table(genes: pd.DataFrame, sets: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Gene sets tested among the symbols of the method's own genes; those too small to be tested have no p."""
    known = genes[genes["share"].notna() & genes["symbol"].ne("")]
    importance = by_symbol(known["share"].to_numpy(), known["symbol"].tolist())
    tested, left_out = set_tests(importance, sets)
    rows = [asdict(one) for one in tested]
    for name in left_out:
        members = set(sets[name])
        rows.append({"name": name, "genes": len(members & set(importance)), "of": len(members)})
    return rounded(pd.DataFrame(rows, columns=["name", "genes", "of", "above", "p", "q"]))


def census_table(genes: pd.DataFrame, top: int) -> pd.DataFrame:
    """The ``top`` census genes by share, with their ranks among all genes of the method."""
    return genes[genes["census"] & genes["share"].notna()].head(top).reset_index(drop=True)


def for_readers(top: pd.DataFrame) -> pd.DataFrame:
    """The table of census genes with shares in percent."""
    names = [str(name) for name in top]
    found = pd.DataFrame({"gene": top["symbol"], "id": top["id"], "rank": top["rank"]})
    for name in (name for name in names if name.startswith("share")):
        found[f"{name.replace('_', ' ')}, %"] = [f"{value:.3g}" for value in top[name] * 100]
    others = [name for name in names if name.startswith("rank_")]
    return found.assign(**{name.replace("_", " "): top[name] for name in ("folds", *others)})
