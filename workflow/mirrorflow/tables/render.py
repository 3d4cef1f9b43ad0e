"""A table as Markdown and as LaTeX (booktabs), with its caption."""

import re

import pandas as pd

LATEX = str.maketrans(
    {character: rf"\{character}" for character in "&%_#${}"}
    | {"±": r"$\pm$", "<": "$<$", ">": "$>$"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)
HTML = str.maketrans({"<": "&lt;", ">": "&gt;", "|": r"\|", "\n": " "})
MARKUP = re.compile(r"[\\`*]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|~(?=~)|\](?=[(\[])")
"""What begins or ends markup of a word: code, emphasis, strikes, links; an interval's brackets do not."""


def in_brackets(published: float, suspect: str) -> str:
    """`` (0.768)`` behind one's own value, `` (0.768, suspect)`` where the published one is; "" where there is none."""
    if pd.isna(published):
        return ""
    return f" ({published:g}{', suspect' if suspect else ''})"


def as_text(name: object) -> str:
    """A name as it is, in a cell of Markdown: nothing of it is markup, HTML or the end of the cell."""
    return MARKUP.sub(r"\\\g<0>", str(name)).translate(HTML)


def as_cell(text: object) -> str:
    """A sentence of ours with its markup, in a cell of Markdown: nothing of it is HTML or the end of the cell."""
    return str(text).translate(HTML)


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """A pipe table under its caption."""
    rows = ["| " + " | ".join(as_text(cell) for cell in row) + " |" for row in [table.columns, *table.to_numpy()]]
    return "\n".join([caption, "", rows[0], "|" + " --- |" * table.shape[1], *rows[1:], ""])


def to_latex(table: pd.DataFrame, caption: str, label: str) -> str:
    r"""A ``table*`` environment for ``\usepackage{booktabs}``."""
    rows = [" & ".join(str(cell).translate(LATEX) for cell in row) + r" \\" for row in table.to_numpy()]
    lines = [
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{caption.translate(LATEX)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{'l' * table.shape[1]}}}",
        r"\toprule",
        " & ".join(str(name).translate(LATEX) for name in table.columns) + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"
