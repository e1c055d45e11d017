"""Suggestions for unknown names: options of other programs, and names of another kind."""

import difflib
from collections.abc import Mapping, Sequence

from nashgames.errors import some_of

_SAME: Mapping[str, tuple[str, ...]] = {
    "solver": ("algorithm", "algorithms", "algo", "method", "methods", "agent"),
    "game": ("env", "environment", "task", "data", "dataset"),
    "actions": ("n", "size", "num-actions", "n-actions", "arms"),
    "beta": ("temperature", "tau", "lambda", "kl", "kl-coef", "alpha"),
    "reference": ("mu", "ref", "prior", "reference-policy"),
    "queries": ("budget", "iterations", "iters", "steps", "epochs", "max-steps", "max-iter", "num-steps"),
    "comparisons": ("samples", "duels", "pairs"),
    "tolerance": ("tol", "eps", "epsilon", "atol", "rtol"),
    "seeds": ("repeats", "num-seeds", "n-seeds", "runs"),
    "seed": ("random-seed", "random-state", "rng"),
    "policy": ("network", "net", "model", "parametrisation", "parametrization"),
    "optimiser": ("opt", "optim"),
    "feedback": ("oracle", "labels"),
    "dtype": ("precision", "float", "fp32", "float32", "float64"),
    "storage": ("layout", "sparse", "compress", "quantise", "quantize", "int8", "bfloat16"),
    "device": ("gpu", "cuda", "cpu", "platform"),
    "out": ("output", "output-dir", "outdir", "dir", "directory", "save", "logdir", "o"),
    "force": ("overwrite", "redo", "rerun", "no-cache"),
    "tune": ("tuning", "grid", "search"),
    "quiet": ("silent", "no-progress"),
    "y": ("metric", "distance"),
    "x": ("axis", "x-axis", "xaxis"),
    "x-scale": ("log", "logx", "xscale"),
    "figure": ("fig", "figures", "plot"),
    "format": ("ext", "filetype", "pdf", "svg", "png"),
    "font": ("fontsize", "font-size"),
    "check-with": ("with", "external", "against"),
}
_BY_OTHERS = {other: ours for ours, others in _SAME.items() for other in others}

_STEP = "a step is a parameter of a solver: --solver 'nash-mp[eta=0.1]'"
_FILE = "a file or a preset is played by: nashgames sweep FILE.toml"
_TOLD = {
    **dict.fromkeys(("lr", "learning-rate", "step", "step-size", "stepsize", "eta"), _STEP),
    **dict.fromkeys(("config", "config-file", "file", "preset", "experiment", "toml"), _FILE),
    "dry-run": "run and sweep have it",
    "verbose": "there is one level of detail; --quiet prints less, --json all data",
}
_PLACE = {"game": "GAME is given without an option: {path} disc"}

# Above difflib's 0.6: --n is no --tune.
_NEAR = 0.7

WRITTEN = {
    "game": "nashgames run {name}",
    "solver": "nashgames run --solver {name}",
    "reference": "nashgames run --reference {name}",
    "feedback": "nashgames run --feedback {name}",
    "policy": "nashgames run --policy {name}",
    "optimiser": "nashgames run --optimiser {name}",
    "storage": "nashgames run --storage {name}",
    "metric": "nashgames plot DIRECTORY --y {name}",
    "figure": "nashgames plot DIRECTORY --figure {name}",
    "preset": "nashgames sweep {name}",
}
"""How a name of every kind is written, by what an entry of `cli.list.LISTS` is called."""


def of_option(path: str, given: str, options: Sequence[str]) -> str:
    """The sentence for an option that the command `path` does not have."""
    name = given.lstrip("-").replace("_", "-").lower()
    told = _TOLD.get(name)
    if told is None and name in _PLACE and path in ("nashgames run", "nashgames equilibrium", "nashgames show"):
        told = _PLACE[name].format(path=path)
    ours = f"--{_BY_OTHERS.get(name, name)}"
    near = [ours] if ours in options else difflib.get_close_matches(f"--{name}", options, n=1, cutoff=_NEAR)
    if told is None and near:
        told = f"did you mean '{near[0]}'?"
    if told is None:
        return f"'{path}' has no option '{given}'; accepted: {some_of(options)}"
    accepted = f" Accepted: {some_of(options)}" if told.endswith("?") else ""
    return f"'{path}' has no option '{given}'; {told}{accepted}"


def elsewhere(kind: str, given: str) -> str | None:
    """The sentence for a name of another kind than the expected one, None where it is of none."""
    from nashgames.cli.list import LISTS

    name = given.partition("[")[0]
    if kind not in [called for called, _ in LISTS.values()]:
        return None
    for called, entries in LISTS.values():
        if called in (kind, "metric", "figure"):
            continue
        if any(entry["name"].partition("[")[0] == name for entry in entries()):
            return f"'{given}' is a {called}, not a {kind}; write: {WRITTEN[called].format(name=given)}"
    return None
