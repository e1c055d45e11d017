"""A table of outcomes as LaTeX (booktabs): rows solvers, columns games × β, the best in bold."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from nashgames.cli import words
from nashgames.errors import printable

if TYPE_CHECKING:
    import pandas as pd

_ESCAPED = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "β": r"$\beta$", "π": r"$\pi$", "μ": r"$\mu$", "η": r"$\eta$",
    "≤": r"$\leq$", "·": r"$\cdot$", "∞": r"$\infty$", "–": "--",
}  # fmt: skip
_DASH = "--"


def escape(text: str) -> str:
    """Text as LaTeX prints it, letter for letter.

    >>> escape("disc[strength=2] & 50%_x")
    'disc[strength=2] \\\\& 50\\\\%\\\\_x'
    """
    return "".join(_ESCAPED.get(letter, letter) for letter in printable(text))


def latex(table: "pd.DataFrame", measure: str, problem: Sequence[str], tolerances: Sequence[float]) -> str:
    """The table of `outcome_table` as a float with caption and label; it needs the package booktabs."""
    columns = list(dict.fromkeys(table[list(problem)].itertuples(index=False, name=None)))
    solvers = table.drop_duplicates("label").sort_values(["rank", "label"], kind="stable")["label"]
    rows = cast("list[dict[str, Any]]", table.to_dict("records"))
    cells = {(row["label"], tuple(row[key] for key in problem)): row for row in rows}
    games = [_problem(problem, column) for column in columns]
    groups = [(name, games.count(name)) for name in dict.fromkeys(games)]
    columns = [column for name, _ in groups for column, game in zip(columns, games, strict=True) if game == name]
    place = list(problem).index("beta")
    betas = [rf"$\beta = {words.number(column[place])}$" for column in columns]
    heads, rules, first = [], [], 2
    for name, count in groups:
        heads.append(rf"\multicolumn{{{count}}}{{c}}{{{escape(name)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + count - 1}}}")
        first += count
    lines = [
        "% In the preamble: \\usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{_caption(table, measure, tolerances)}}}",
        r"  \label{tab:outcomes}",
        rf"  \begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"    \toprule",
        f"     & {' & '.join(heads)} \\\\",
        f"    {' '.join(rules)}",
        f"    solver & {' & '.join(betas)} \\\\",
        r"    \midrule",
        *(
            f"    {escape(solver)} & {' & '.join(_cell(cells.get((solver, at)), measure) for at in columns)} \\\\"
            for solver in solvers
        ),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _problem(keys: Sequence[str], values: Sequence[Any]) -> str:
    """What a group of columns is of: the game, and what else varies but β."""
    told = {key: value for key, value in zip(keys, values, strict=True) if key != "beta"}
    said = {"n": "n = {:,}", "reference": "{} reference", "contexts": "{} contexts"}
    return ", ".join(said.get(key, "{}").format(value) for key, value in told.items())


def _cell(row: "dict[str, Any] | None", measure: str) -> str:
    """A median, bold where it is the best, and its interval over several seeds; nothing where it was not played."""
    if row is None:
        return ""
    median = _number(row["median"], measure)
    text = _bold(median) if row["best"] else median
    if row["seeds"] == 1 or row["low"] == row["high"]:
        return text
    return f"{text} [{_number(row['low'], measure)}, {_number(row['high'], measure)}]"


def _number(value: float, measure: str) -> str:
    if not math.isfinite(value):
        return _DASH
    if measure == "queries_to_tolerance":
        return words.count(value)
    mantissa, exponent = f"{value:.1e}".split("e")
    return "0" if value == 0 else rf"${mantissa}\times10^{{{int(exponent)}}}$"


def _bold(text: str) -> str:
    return re.sub(r"^\$(.*)\$$", r"$\\mathbf{\1}$", text) if text.startswith("$") else rf"\textbf{{{text}}}"


def _caption(table: "pd.DataFrame", measure: str, tolerances: Sequence[float]) -> str:
    """What is in the cells, over how many seeds, what a dash is, and the rule of what is bold."""
    from nashgames.core.metrics import METRICS

    least, most = int(table["seeds"].min()), int(table["seeds"].max())
    over = f"{least}" if least == most else f"{least}--{most}"
    if measure == "queries_to_tolerance":
        at = f"{words.number(tolerances[0])}" if len(tolerances) == 1 else "its tolerance"
        what, dash = f"ueries until a run reached {at}", "it was not reached"
        what = f"Median q{what}" if most > 1 else f"Q{what}"
    else:
        what = f"{'Median ' if most > 1 else ''}{METRICS[measure].label} of the last iterate"
        what, dash = what[:1].upper() + what[1:], "numbers stopped being finite, or it was not measured"
    seeds = ""
    if most > 1:
        # Of fewer than ten seeds these quantiles are the least and the largest.
        ends = r"least and largest value" if most < 10 else r"10\,\% and 90\,\% quantile"
        seeds = f" over {over} seeds, in brackets the {ends}"
    bold = "Bold: the smallest median of a column, and every one equal to it"
    return f"{escape(what)}{seeds}. {_DASH}: {dash}. {bold if most > 1 else bold.replace('median', 'value')}."
