"""Conditions on runs, `beta < 0.1 and solver == 'nash-mp'`: one small language, the same wherever runs are chosen.

A condition is read with `ast` and refused unless all of it is names of columns, numbers, texts, lists of them behind
`in`, comparisons, `and`, `or`, `not` and arithmetic; what is left is answered by pandas.
"""

import ast
import sys
from typing import Any

import numpy as np
import pandas as pd

from nashgames.analysis.reaching import numbers_of, varying
from nashgames.errors import NashGamesError, choices, shown

EXAMPLE = "beta < 0.1 and solver == 'nash-mp'"

# A condition that a person types has some dozen letters; longer ones would only be slow to refuse.
_LONGEST = 1000
# Columns that hold JSON; their numbers are addressed by the names of the parameters.
_NO_COLUMNS = ("game_parameters", "hyperparameters")
_CALLED = {"actions": "n", "β": "beta", "μ": "reference"}
"""What people call a column that has another name here."""

_NUMBER, _TEXT, _CONDITION = "a number", "a text", "a condition"
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)


def where(runs: pd.DataFrame, condition: str) -> pd.DataFrame:
    """The runs that fulfil the condition; names are columns of `runs` and numbers of their games and solvers (`eta`).

    What is missing fulfils no comparison but `!=`. Raises NashGamesError, with the nearest column where one is unknown.
    """
    body = _parsed(condition)
    if runs.empty:
        # Whose games and solvers have no numbers to name.
        return runs
    names = dict.fromkeys(node.id for node in ast.walk(body) if isinstance(node, ast.Name))
    frame = pd.DataFrame({name: _column(runs, name) for name in names}, index=runs.index)
    try:
        _Checked({name: _NUMBER if frame[name].dtype == np.float64 else _TEXT for name in names}).condition(body)
        kept = _answer(_Divisors(frame).visit(body), frame)
    except RecursionError:
        raise _refused("nests too deeply", "leave out some brackets") from None
    return runs[np.asarray(kept, bool)]


def columns(runs: pd.DataFrame) -> list[str]:
    """The names that a condition on these runs may have."""
    return list(dict.fromkeys([*(str(name) for name in runs if name not in _NO_COLUMNS), *varying(runs)]))


def _parsed(condition: str) -> ast.expr:
    text = condition.strip()
    if not text:
        raise _refused("is empty")
    if len(text) > _LONGEST:
        raise _refused(f"has {len(text):,} letters", f"write at most {_LONGEST:,}")
    try:
        body = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        single = "=" in text.replace("==", "").replace("!=", "").replace("<=", "").replace(">=", "")
        hint = "equality is written ==" if single else f'write it as in "{EXAMPLE}"'
        raise _refused(f'is "{text}", which is not a condition', hint) from None
    if not any(isinstance(node, ast.Name) for node in ast.walk(body)):
        raise _refused(f'is "{text}", which names no column')
    return body


def _column(runs: pd.DataFrame, name: str) -> pd.Series:
    """A column as numbers, NaN where they are missing, or as text; a number of the game or the solver where there is no
    column of this name."""
    if name in runs and name not in _NO_COLUMNS and not pd.api.types.is_numeric_dtype(runs[name]):
        return runs[name].astype(object)
    numbers = numbers_of(runs, name)
    if np.isfinite(numbers).any() or (name in runs and name not in _NO_COLUMNS):
        return pd.Series(numbers, index=runs.index)
    known = columns(runs)
    if name in _CALLED:
        raise _refused(f"names '{name}'", f"that column is called {_CALLED[name]}")
    texts = [column for column in known if column in runs and not pd.api.types.is_numeric_dtype(runs[column])]
    for column in texts:
        for value in runs[column].dropna().unique():
            if str(value) == name or str(value).startswith((f"{name}-", f"{name}[")):
                raise _refused(f"names '{name}', which is not a column", f"a text is quoted: {column} == '{value}'")
    raise _refused(f"names '{name}', which is not a column of runs{choices(name, known)}", "")


def _answer(node: ast.expr, frame: pd.DataFrame) -> Any:
    """What pandas answers: of one line, and with it nothing that it reads otherwise than Python does."""
    return frame.eval(ast.unparse(node), engine="python", parser="pandas")


class _Divisors(ast.NodeTransformer):
    """Puts columns in the place of divisors, in which 0 is missing: a ratio that does not exist fulfils nothing.

    NashGamesError for a divisor without a column that is 0.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def visit_BinOp(self, node: ast.BinOp) -> ast.BinOp:
        self.generic_visit(node)
        if isinstance(node.op, ast.Div):
            by = _answer(node.right, self._frame)
            if not isinstance(by, pd.Series) and by == 0:
                raise _refused(f"divides by 0 in {_said(node)}", "divide by another number")
            name = f"_divisor_{self._frame.shape[1]}"
            self._frame[name] = np.where(np.equal(by, 0), np.nan, by)
            node.right = ast.Name(name)
        return node


class _Checked:
    """Goes through a condition whose columns are of these kinds; NashGamesError for what is not in the language."""

    def __init__(self, kinds: dict[str, str]) -> None:
        self._kinds = kinds

    def condition(self, node: ast.expr) -> None:
        """Check that a node is a condition."""
        self._expect(node, _CONDITION)

    def _expect(self, node: ast.expr, kind: str) -> None:
        found = self._kind(node)
        if found != kind:
            raise _refused(f"has {found}, {_said(node)}, where {kind} belongs")

    def _kind(self, node: ast.expr) -> str:
        match node:
            case ast.Constant(value=str()):
                return _TEXT
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                if abs(value) > sys.float_info.max:
                    raise _refused(f"has the number {shown(value)}", "give a smaller one")
                return _NUMBER
            case ast.Name(id=name):
                return self._kinds[name]
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self._expect(operand, _CONDITION)
                return _CONDITION
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                self._expect(operand, _NUMBER)
                return _NUMBER
            case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _ARITHMETIC):
                self._expect(left, _NUMBER)
                self._expect(right, _NUMBER)
                return _NUMBER
            case ast.BoolOp(values=values):
                for part in values:
                    self._expect(part, _CONDITION)
                return _CONDITION
            case ast.Compare():
                self._compare(node)
                return _CONDITION
        hint = "write and, or" if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr) else ""
        raise _refused(
            f"has {_said(node)}",
            hint or "accepted: columns, numbers, quoted texts, comparisons, and, or, not, in, + - * /",
        )

    def _compare(self, node: ast.Compare) -> None:
        if isinstance(node.ops[0], ast.In | ast.NotIn):
            listed = node.comparators[0]
            if len(node.ops) > 1 or not isinstance(listed, ast.List | ast.Tuple) or not listed.elts:
                raise _refused(f"has {_said(node)}", "in needs a list, as in n in [10, 100]")
            for each in listed.elts:
                if any(isinstance(part, ast.Name) for part in ast.walk(each)):
                    raise _refused(f"has {_said(each)} in a list", "a list holds numbers or quoted texts")
                self._expect(each, self._kind(node.left))
            return
        for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            if isinstance(op, ast.In | ast.NotIn | ast.Is | ast.IsNot):
                raise _refused(f"has {_said(node)}", "write one comparison, or join several by and")
            kind = self._kind(left)
            if kind == _CONDITION:
                raise _refused(f"compares {_said(left)}, a condition", "join conditions by and, or")
            self._expect(right, kind)
            if kind == _TEXT and not isinstance(op, ast.Eq | ast.NotEq):
                raise _refused(f"orders texts in {_said(node)}", "texts are compared by ==, != and in")


def _said(node: ast.AST) -> str:
    text = ast.unparse(node)
    return f"`{text if len(text) <= 60 else text[:59] + '…'}`"


def _refused(what: str, hint: str = f'accepted: a condition on columns, e.g. "{EXAMPLE}"') -> NashGamesError:
    return NashGamesError(f"where {what}{f'; {hint}' if hint else ''}")
