"""The house keeps its shape: who may import whom, who may compile a loop, and what importing the package does."""

import ast
import functools
import io
import itertools
import json
import re
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path

import pytest

import nashgames

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"nashgames": ROOT / "nashgames", "nashgames.cli": ROOT / "cli"}
FILES = {
    f"{package}.{'.'.join(path.relative_to(folder).with_suffix('').parts)}": path
    for package, folder in FOLDERS.items()
    for path in sorted(folder.rglob("*.py"))
}

# From the ground up: a package imports packages above it in this list only.
GROUND = (
    "errors",
    "defaults",
    "plugins",
    "parameters",
    "selections",
    "registry",
    "disk",
    "environment",
    "memory",
    "reprs",
)
PACKAGES = (
    *GROUND, "losses", "estimators", "core", "games", "learning", "solvers", "exact", "engine", "store", "experiments",
    "analysis", "verification", "plots", "reporting", "api", "__init__", "__main__", "cli",
)  # fmt: skip

STANDARD_LIBRARY_ONLY = {*GROUND, "experiments.experiment", "experiments.presets", "games.data", "__init__"} - {
    "memory"
}
WITHOUT_JAX = {"store", "analysis", "plots", "exact", "estimators"}

# What a foreign library is for: nobody else imports it.
KEPT_TO = {
    "equinox": "learning.policies",
    "optax": "learning.optimisers",
    "psutil": "memory",
    "numba": "core.margins.compiled",
    "llvmlite": "core.margins.compiled",
    "bokeh": "reporting",
    "jinja2": "reporting",
    "distributed": "experiments.workers",
    "tensorboardX": "cli.sinks",
    "mlflow": "cli.sinks",
    "typer": "cli",
    "rich": "cli",
    "click": "cli",
}


@functools.cache
def trees():
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def package(module: str) -> str:
    """The package of a module: `nashgames.plots.palette` → `plots`; what stands on its own is its own package."""
    return [*module.split("."), "__init__"][1]


def inside(module: str, places: set[str]) -> bool:
    """Whether a module is one of `places`, dotted names below nashgames, or in one."""
    name = module.partition(".")[2] or "__init__"
    return any(name == place or name.startswith(f"{place}.") for place in places)


@functools.cache
def imported(tree: ast.AST) -> frozenset[str]:
    """Every module that a file imports, wherever the statement stands."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            # `from nashgames import simplex` imports a room, `from nashgames.errors import unknown` a name in one.
            is_package = node.module in FOLDERS or f"{node.module}.__init__" in FILES
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if is_package else {node.module}
    return frozenset(found)


def packages_of(tree: ast.AST) -> set[str]:
    return {package(name) for name in imported(tree) if name.partition(".")[0] == "nashgames"}


def foreign(tree: ast.AST) -> set[str]:
    tops = {name.partition(".")[0] for name in imported(tree)}
    return tops - {"nashgames"} - set(sys.stdlib_module_names)


def test_every_package_has_its_place():
    assert {package(name) for name in FILES} == set(PACKAGES)


@pytest.mark.parametrize("name", FILES)
def test_imports_go_one_way(name):
    here, tree = package(name), trees()[name]
    known = packages_of(tree) - {here}
    # The public names are declared for type checkers, and resolved when they are asked for.
    if here not in ("__init__", "__main__"):
        assert known <= set(PACKAGES[: PACKAGES.index(here)])
    if inside(name, STANDARD_LIBRARY_ONLY):
        assert not foreign(tree)
    # External programs may be JAX programs.
    if inside(name, WITHOUT_JAX) and not inside(name, {"exact.external"}):
        assert "jax" not in foreign(tree)
    for library, place in KEPT_TO.items():
        assert library not in foreign(tree) or inside(name, {place}), library
    assert "matplotlib" not in foreign(tree) or inside(name, {"plots", "api"})
    assert "cli" not in {module.partition(".")[0] for module in imported(tree)}


def test_solvers_do_not_know_each_other_s_files_but_by_the_registry():
    """One algorithm a file: reading one needs no other, except where one is built from another."""
    built_on = {"halves": {"nash_mp"}, "adaptive_nash_mp": {"adaptive_step"}}
    built_on["secant_nash_mp"] = {"adaptive_step", "secant_model"}
    kinds = ("", "predictive_", "smooth_predictive_", "extragradient_")
    built_on |= {f"{kind}regret_matching_plus": {"regrets"} for kind in kinds}
    built_on["smooth_fictitious_play"] = {"fictitious_play"}
    for name, tree in trees().items():
        if not name.startswith("nashgames.solvers.") or name.endswith("__init__"):
            continue
        here = name.rpartition(".")[2]
        others = {module.split(".")[2] for module in imported(tree) if module.startswith("nashgames.solvers.")}
        assert others <= {"protocol"} | built_on.get(here, set()), name


def test_a_loop_is_compiled_in_one_file():
    compiling = {"jit", "pmap", "scan", "fori_loop", "while_loop", "checkpoint", "associative_scan"}
    found = {
        name: names
        for name, tree in trees().items()
        if (
            names := compiling
            & (
                {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
                | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            )
        )
    }
    # A storage of margins names its two accesses to A under `jit`, so that programs can be asked for them, and one file
    # goes over the pieces of A, on GPUs another one.
    assert found.pop("nashgames.core.margins.sweep") == found.pop("nashgames.core.margins.kernels") == {"fori_loop"}
    # Networks go over the tokens of a sequence, one after the other.
    writers = ["nashgames.learning.policies.networks", "nashgames.core.next_tokens"]
    assert all(found.pop(name) == {"scan"} for name in writers)
    # A batch that is read in parts is read again for its gradient.
    assert found.pop("nashgames.learning.policies.sequential") == {"checkpoint"}
    # The step of supervised learning is of no game and no run.
    assert found.pop("nashgames.learning.supervised") == {"jit"}
    accesses = {name for name in found if name.startswith("nashgames.core.margins.")}
    assert all(found.pop(name) == {"jit"} for name in accesses)
    # The loop's program is kept between processes.
    assert found.pop("nashgames.engine.exported") == {"jit"}
    assert set(found) == {"nashgames.engine.loop"}
    assert {"jit", "scan", "while_loop"} <= found["nashgames.engine.loop"]


def test_the_product_with_the_margins_is_written_once():
    """Solvers and metrics multiply by A through `game.advantage` only."""
    for name, tree in trees().items():
        # The secant model multiplies by its own small matrices.
        if (name != "nashgames.solvers.secant_model" and package(name) in ("solvers", "engine")) or inside(
            name, {"core.metrics", "core.simplex"}
        ):
            attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            assert not attributes & {"to_dense", "einsum", "matmul", "dot", "tensordot"}, name
            assert not any(isinstance(node, ast.MatMult) for node in ast.walk(tree)), name


def test_nothing_is_ever_unpickled():
    loaders = {"load", "open_memmap", "read_array", "memmap"}
    for name, tree in trees().items():
        assert not foreign(tree) & {"joblib", "dill", "cloudpickle"}, name
        assert not {module.partition(".")[0] for module in imported(tree)} & {"pickle", "shelve", "marshal"}, name
        for call in ast.walk(tree):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            assert call.func.attr not in ("read_pickle", "to_pickle"), name
            of_numpy = ast.unparse(call.func.value) in ("np", "numpy", "np.lib.format", "numpy.lib.format")
            if of_numpy and call.func.attr in loaders:
                given = {keyword.arg: keyword.value for keyword in call.keywords}
                assert "allow_pickle" in given, f"{name}: {ast.unparse(call)}"
                assert ast.unparse(given["allow_pickle"]) == "False", f"{name}: {ast.unparse(call)}"


def test_the_library_prints_nothing():
    for name, tree in trees().items():
        if package(name) == "cli":
            continue
        calls = {ast.unparse(call.func) for call in ast.walk(tree) if isinstance(call, ast.Call)}
        assert not calls & {"print", "sys.stdout.write", "sys.stderr.write", "warnings.warn", "sys.exit"}, name


def is_numeric(node: ast.expr | None) -> bool:
    """Whether an expression is a number, arithmetic on numbers, or a tuple or list of such."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float | complex) and not isinstance(node.value, bool)
    if isinstance(node, ast.UnaryOp):
        return is_numeric(node.operand)
    if isinstance(node, ast.BinOp):
        return is_numeric(node.left) or is_numeric(node.right)
    if isinstance(node, ast.Tuple | ast.List):
        return bool(node.elts) and all(map(is_numeric, node.elts))
    return False


def unexplained(source: str) -> list[str]:
    """The module-level numeric constants with no comment directly above or beside them and no docstring below."""
    lines, found = source.splitlines(), []
    said = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        # What is addressed to a tool is no reason.
        if token.type == tokenize.COMMENT and not re.match(r"#\s*(fmt|type|noqa|ruff|mypy|pragma)\b", token.string)
    }
    statements = ast.parse(source).body
    for node, following in itertools.zip_longest(statements, statements[1:]):
        if not (isinstance(node, ast.Assign | ast.AnnAssign) and is_numeric(node.value)):
            continue
        above = node.lineno - 1
        is_above = above in said and lines[above - 1].lstrip().startswith("#")
        is_beside = not said.isdisjoint(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        is_below = (
            isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        )
        if not (is_above or is_beside or is_below):
            found.append(lines[node.lineno - 1])
    return found


BENCHMARKS = {f"benchmarks/{path.name}": path for path in sorted((ROOT / "benchmarks").glob("*.py"))}


@pytest.mark.parametrize("name", [*FILES, *BENCHMARKS])
def test_every_numeric_constant_has_its_reason_beside_it(name):
    assert not unexplained((FILES | BENCHMARKS)[name].read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("A = 3\n", 1),
        ("A: float = -1e-3\n", 1),
        ("A, B = 2**20, (1, 0.5)\n", 1),
        ("A = 3  # noqa: E501\n", 1),
        ("B = 'b'  # of another line\nA = 3\n", 1),
        ("# The reason.\n\nA = 3\n", 1),
        ("# The reason of the first.\nA = 3\nB = 4\n", 1),
        ("# The reason.\nA = 3\n", 0),
        ("A = 3  # the reason\n", 0),
        ("A = (\n    1,  # the reason\n    2,\n)\n", 0),
        ('A = 3\n"""The reason."""\n', 0),
        ("A = True\nB = ('a', 1)\nC = f(3)\n", 0),
    ],
)
def test_a_constant_without_a_reason_is_seen(source, missing):
    assert len(unexplained(source)) == missing


def test_the_packages_of_the_wheel_are_the_folders():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {name.rpartition(".")[0] for name in FILES if name.endswith(".__init__")}
    assert sorted(setuptools["packages"]) == sorted(folders)
    assert setuptools["package-dir"] == {"nashgames": "nashgames", "nashgames.cli": "cli"}
    # A folder without __init__.py would be left out in silence.
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), f"{package}: {path.parent}"


def in_fresh_python(*statements: str) -> list:
    """What the last statement prints as JSON, in an interpreter that imported nothing yet."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(["import json, sys", *statements])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_the_package_imports_nothing_heavy_and_figures_and_files_need_no_jax():
    light, files = in_fresh_python(
        "import nashgames, nashgames.errors, nashgames.registry, nashgames.environment",
        "import nashgames.experiments.experiment",
        "nashgames.NashGamesError, dir(nashgames)",
        "light = sorted({name.partition('.')[0] for name in sys.modules})",
        "import nashgames.store, nashgames.plots, nashgames.plots.estimates",
        "files = sorted(name for name in sys.modules if name.startswith(('nashgames', 'jax', 'matplotlib.pyplot')))",
        "print(json.dumps([light, files]))",
    )
    assert not {"jax", "jaxlib", "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "typer", "rich"} & set(light)
    assert not {"jax", "matplotlib.pyplot"} & set(files)
    # The names and labels of the metrics are read without computing one.
    known = {"nashgames.core", "nashgames.core.metrics"}
    assert not [
        name for name in files if package(name) in ("solvers", "engine", "core", "learning") and name not in known
    ]


def test_importing_everything_starts_no_backend_and_changes_no_setting_of_jax():
    started, changed, gave = in_fresh_python(
        "import jax",
        "before = dict(jax.config.values)",
        "import nashgames, nashgames.api, nashgames.experiments.runner, nashgames.cli.main",
        "everything = [getattr(nashgames, name) for name in nashgames.__all__]",
        "from jax._src import xla_bridge",
        "changed = [name for name, value in jax.config.values.items() if before[name] != value]",
        "print(json.dumps([xla_bridge.backends_are_initialized(), changed, len(everything)]))",
    )
    assert not started
    assert changed == []
    assert gave == len(nashgames.__all__)


def test_the_public_names_are_a_list_and_all_of_them_exist():
    assert sorted(nashgames.__all__) == sorted(nashgames._HOMES)
    assert sorted(dir(nashgames)) == sorted(nashgames.__all__)
    for name in nashgames.__all__:
        thing = getattr(nashgames, name)
        # An exported class that a user meets in an error or a help page must say what it is.
        assert thing.__doc__, name
    with pytest.raises(AttributeError, match="nash_mp"):
        _ = nashgames.nash_mp
    declared = ast.parse((ROOT / "nashgames" / "__init__.py").read_text(encoding="utf-8"))
    typed = itertools.chain.from_iterable(
        (alias.asname or alias.name for alias in node.names)
        for node in ast.walk(declared)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("nashgames")
    )
    assert {*typed, "games"} == set(nashgames.__all__)
