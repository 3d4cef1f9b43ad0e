"""A table as Markdown and as LaTeX (booktabs), with its caption."""

import pandas as pd

LATEX = str.maketrans(
    {character: rf"\{character}" for character in "&%_#${}"}
    | {"±": r"$\pm$", "<": "$<$", ">": "$>$"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)
MARKDOWN = str.maketrans({"|": r"\|", "\n": " "})


def in_brackets(published: float, suspect: str) -> str:
    """`` (0.768)`` behind one's own value, `` (0.768, suspect)`` where the published one is; "" where there is none."""
    if pd.isna(published):
        return ""
    return f" ({published:g}{', suspect' if suspect else ''})"


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """A pipe table under its caption."""
    rows = [
        "| " + " | ".join(str(cell).translate(MARKDOWN) for cell in row) + " |"
        for row in [table.columns, *table.to_numpy()]
    ]
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
