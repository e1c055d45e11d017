"""Wrong mathematics that the tests have to see: each mutation in turn, in a copy of the checkout, caught or survived.

`python benchmarks/mutations.py` first runs the named tests as they are, since one that fails anyway catches nothing;
then, for every mutation, the tests that are named beside it, in a process of their own. `--list` prints the table,
`--only TEXT` takes the mutations whose subject, file or tests have TEXT. It ends with 1 where a mutation survives,
where the tests cannot be run, or where a text to be mutated is not in its file exactly once, which
`tests/test_mutations.py` holds at every change.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("nashgames", "cli", "tests", "benchmarks", "results", "pyproject.toml")

# Seconds of one mutation's tests, which take from 2 to 40: some mutated iterations never end.
_LONGEST = 300
# What pytest says where tests failed; what it says otherwise is no verdict on them.
_FAILED = 1


ELSEWHERE = "from elsewhere than the reference"


class Mutation(NamedTuple):
    """One change of `file`, `old` → `new`, of what it is about (`subject`), and the tests of which one has to fail."""

    subject: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def form(case: str) -> str:
    """The iterates of a solver against its closed form, on a game that begins elsewhere than at its reference."""
    return f"tests/test_closed_forms.py::test_every_iterate_equals_its_closed_form[{case}-{ELSEWHERE}]"


def solver(file: str, old: str, new: str, *tests: str) -> Mutation:
    return Mutation("solvers", f"nashgames/solvers/{file}.py", old, new, tests)


def learning(file: str, old: str, new: str, *tests: str) -> Mutation:
    return Mutation("solvers", f"nashgames/learning/{file}.py", old, new, tests)


def simplex(old: str, new: str, *tests: str) -> Mutation:
    return Mutation("solvers", "nashgames/core/simplex.py", old, new, tests)


def metric(old: str, new: str, *tests: str) -> Mutation:
    return Mutation("metrics", "nashgames/core/metrics.py", old, new, tuple(f"tests/{test}" for test in tests))


def certificate(old: str, new: str, *tests: str) -> Mutation:
    named = tuple(f"tests/test_certificate.py::test_{test}" for test in tests)
    return Mutation("certificate", "nashgames/exact/certificate.py", old, new, named)


def closest(old: str, new: str, *tests: str) -> Mutation:
    named = tuple(f"tests/test_closest.py::test_{test}" for test in tests)
    return Mutation("certificate", "nashgames/exact/closest.py", old, new, named)


def referee(file: str, old: str, new: str, *tests: str) -> Mutation:
    named = tuple(f"tests/{test}" for test in tests)
    return Mutation("referee", f"nashgames/exact/referee/{file}.py", old, new, named)


def feedback(old: str, new: str, *tests: str) -> Mutation:
    named = tuple(f"tests/test_feedback.py::test_{test}" for test in tests)
    return Mutation("feedback", "nashgames/learning/feedback.py", old, new, named)


def exact(old: str, new: str, *tests: str) -> Mutation:
    return Mutation("feedback", "nashgames/core/feedback.py", old, new, tests)


def stored(file: str, old: str, new: str, *tests: str) -> Mutation:
    return Mutation("store", f"nashgames/{file}.py", old, new, tuple(f"tests/{test}" for test in tests))


PARTS, TABLES = "test_parts.py::test_", "test_store.py::test_"
UNBIASED = "a_tally_of_duels_is_unbiased[binary-1]"
JUDGE = "a_noisy_judge_is_another_game_and_certainty_stays_certain"
IDENTITIES = "test_metrics.py::test_suboptimality_is_the_value_of_the_best_deviation"
CONTEXTS = "test_metrics.py::test_contexts_are_averaged_by_weight_and_the_span_is_their_maximum"
ZEROS = "test_metrics.py::test_a_policy_with_zeros_has_a_finite_suboptimality_and_infinite_distances"
DIGITS = "every_number_agrees_with_150_digits"
CYCLE = "test_referee.py::test_it_agrees_with_the_three_cycle_of_theory_6"
GAMBIT = "test_referee.py::test_it_agrees_with_the_logit_equilibria_of_pygambit"

MUTATIONS = (
    # The proximal steps and mixtures that the solvers share.
    simplex("advantage / beta)) / (1 + eta))", "advantage / beta)))", "tests/test_simplex.py"),
    simplex("(log_reference + advantage / beta)", "(log_reference + advantage)", "tests/test_simplex.py"),
    simplex("beta * (log_reference - log_policy)", "beta * (log_policy - log_reference)", form("mirror-descent")),
    simplex("log_p + weight * (log_q - log_p)", "log_q + weight * (log_p - log_q)", form("nash-md")),
    simplex(
        "jnp.logaddexp(jnp.log1p(-weight) + log_p, jnp.log(weight) + log_q)",
        "(1 - weight) * log_p + weight * log_q",
        form("average[nash-mp]"),
    ),
    simplex("direction - jnp.sum(policy * direction, axis=-1, keepdims=True)", "direction", "tests/test_simplex.py"),
    # One algorithm a file: which policy is queried, where a step begins, what it weighs, and when it counts.
    solver(
        "nash_mp",
        "log_policy = simplex.prox(state.log_policy, game",
        "log_policy = simplex.prox(half, game",
        form("nash-mp"),
    ),
    solver("nash_mp", "game.query(half, ", "game.query(state.log_policy, ", form("nash-mp")),
    solver("halves", "steps % 2 == 0", "steps % 2 == 1", form("halves[nash-mp]")),
    solver("nash_prox", "game.beta * (1 + 1 / self.eta)", "game.beta * (1 + self.eta)", form("nash-prox")),
    solver(
        "nash_prox",
        "tree_where(steps % self.inner == 0, moved, target)",
        "moved",
        form("nash-prox[eta=0.3,inner=3,step=0.4]"),
    ),
    solver("proximal_point", "step = 2 * temperature", "step = temperature", form("proximal-point")),
    solver(
        "approximate_nash_mp",
        "steps % (2 * self.inner) == self.inner",
        "steps % (2 * self.inner) == 0",
        form("approximate-nash-mp[eta=0.3,inner=3,step=0.7]"),
    ),
    solver(
        "practical_nash_mp",
        "iterate.log_policy if self_play else log_target",
        "log_target if self_play else iterate.log_policy",
        form("practical-nash-mp"),
    ),
    solver(
        "egpo",
        "ascend(game, state, uniform_pairs(game, half)",
        "ascend(game, half, uniform_pairs(game, half)",
        form("egpo"),
    ),
    solver("nash_md", "game.query(mixed, ", "game.query(state.log_policy, ", form("nash-md")),
    solver("nash_md", "game.beta * state.steps / 2", "game.beta * state.steps", form("nash-md[schedule=decreasing]")),
    solver(
        "nash_md_pg", "game.log_reference, self.mixture)", "game.log_reference, 1 - self.mixture)", form("nash-md-pg")
    ),
    solver("nash_ema", "log_policy, self.kappa)", "log_policy, 1 - self.kappa)", form("nash-ema[kappa=0.2,step=0.3]")),
    solver("nash_ema_pg", "game.log_reference)", "opponent)", form("nash-ema-pg")),
    solver("omwu", "2 * state.advantage - state.before", "state.advantage + state.before", form("omwu")),
    solver(
        "optimistic_mirror_descent",
        "2 * state.advantage - state.before",
        "state.advantage",
        form("optimistic-mirror-descent"),
    ),
    solver(
        "magnetic_mirror_descent",
        "weight = self.alpha * self.step",
        "weight = self.step",
        form("magnetic-mirror-descent[alpha=0.3,step=0.7]"),
    ),
    solver("inpo", "game.beta * state.steps / 2", "game.beta * state.steps", form("inpo[schedule=growing]")),
    solver("apmd", "jnp.expm1(away)", "-jnp.expm1(-away)", form("apmd[inner=5,divergence=reverse-kl]")),
    solver("garip", "1 / (steps + 1)", "1 / (steps + 2)", form("garip")),
    solver("mpo", "steps % self.inner == 0", "steps % self.inner == 1", form("mpo[alpha=0.4,step=0.7,inner=4]")),
    solver(
        "comal",
        "log_policy = simplex.prox(state.log_policy, state",
        "log_policy = simplex.prox(half, state",
        form("comal"),
    ),
    solver(
        "onpo", "simplex.normalise(log_base + self.step", "simplex.normalise(state.log_base + self.step", form("onpo")
    ),
    solver("regularised_gradient", "steps ** (-1 / 5)", "steps ** (-3 / 5)", form("regularised-gradient")),
    solver(
        "average",
        "self.solver.log_policy(inner), 1 / count)",
        "self.solver.log_policy(inner), 1 / (count + 1))",
        form("average[nash-mp]"),
    ),
    solver(
        "fictitious_play",
        "state.log_policy - jnp.log1p(1 / steps)",
        "state.log_policy - jnp.log1p(steps)",
        form("fictitious-play"),
    ),
    solver("regrets", "- n) / counts", "- 1) / counts", form("smooth-predictive-regret-matching-plus")),
    solver(
        "regrets",
        "gained = advantage - jnp.sum(jnp.exp(log_policy) * advantage, axis=-1, keepdims=True)",
        "gained = advantage",
        "tests/test_regret_matching.py::test_the_value_of_an_estimate_is_subtracted",
    ),
    solver("adaptive_step", "missed = (1 + eta) * game", "missed = game", form("adaptive-nash-mp")),
    solver(
        "adaptive_step",
        "simplex.kl(log_half, log_policy)",
        "simplex.kl(log_policy, log_half)",
        form("adaptive-nash-mp"),
    ),
    solver(
        "secant_model",
        "(twist - twist.T) / 2",
        "twist",
        "tests/test_adaptive.py::test_the_model_is_skew_whatever_the_queries_say",
    ),
    learning(
        "steps",
        "4 * temperature / (1 + 4 * temperature**2)",
        "4 * temperature / (1 + temperature**2)",
        form("mirror-descent"),
    ),
    learning("steps", "keepdims=True), 0) / 8", "keepdims=True), 0) / 4", form("online-ipo")),
    learning(
        "policy_gradient",
        "tally.margins - temperature * tally.visits",
        "tally.margins + temperature * tally.visits",
        form("online-ipo[step=0.3]"),
    ),
    learning(
        "policy_gradient",
        "old + share * (new - old)",
        "new + share * (old - new)",
        form("nash-ema-pg[kappa=0.3,step=0.4]"),
    ),
    # What is measured.
    metric("return game.beta * game.average(", "return game.average(", IDENTITIES),
    metric("simplex.kl(log_policy, log_response, response)", "simplex.kl(log_response, log_policy)", IDENTITIES),
    metric("game.log_reference + advantage / game.beta", "advantage / game.beta", IDENTITIES),
    metric("lambda seen: 2 * suboptimality(", "lambda seen: suboptimality(", IDENTITIES),
    metric("simplex.largest(advantage)", "simplex.largest(-advantage)", IDENTITIES),
    metric(
        "_kl(seen, seen.log_equilibrium, seen.log_policy)",
        "_kl(seen, seen.log_policy, seen.log_equilibrium + 0)",
        ZEROS,
    ),
    metric(
        "_kl(seen, seen.log_policy, seen.log_equilibrium)",
        "_kl(seen, seen.log_equilibrium, seen.log_policy + 0)",
        ZEROS,
    ),
    metric("simplex.largest(of_contexts", "-simplex.largest(-of_contexts", CONTEXTS),
    metric(
        "_kl(seen, seen.log_policy, seen.game.log_reference)",
        "_kl(seen, seen.game.log_reference, seen.log_policy)",
        ZEROS,
    ),
    metric(
        '("exploitability", 2.0)',
        '("exploitability", 1.0)',
        "test_original.py::test_numbers_at_zero_are_the_limit_of_small_beta",
    ),
    Mutation(
        "metrics",
        "nashgames/core/game.py",
        "jnp.sum(self.weights * values)",
        "jnp.mean(values)",
        (f"tests/{CONTEXTS}",),
    ),
    Mutation(
        "metrics", "nashgames/core/simplex.py", "far = q - p + p * jnp", "far = p * jnp", ("tests/test_simplex.py",)
    ),
    Mutation("metrics", "nashgames/core/simplex.py", "(-1) ** k / math", "1 / math", ("tests/test_simplex.py",)),
    # The certificate, and that of the closest equilibrium.
    certificate(
        "half_gap = beta * divergence(log_policy, log_response)",
        "half_gap = beta * divergence(log_response, log_policy)",
        DIGITS,
    ),
    certificate("duality_gap=2 * float(half_gap)", "duality_gap=float(half_gap)", DIGITS),
    certificate("half_gap / _Wide(beta)", "half_gap * _Wide(beta)", DIGITS),
    certificate("np.max(log_policy - log_reference) - div", "np.max(log_policy - log_reference) + div", DIGITS),
    certificate(
        "residual=float(np.max(residuals))",
        "residual=float(weights @ residuals)",
        "contexts_are_averaged_by_weight_and_the_residual_is_their_maximum",
    ),
    certificate(
        "best - advantage[log_policy > -np.inf]",
        "best - advantage",
        "at_beta_zero_the_original_game_is_judged",
    ),
    certificate(
        "q * (below * np.exp(below) - np.expm1(below))",
        "p * (np.expm1(-below) + below)",
        "an_action_whose_probability_underflows",
    ),
    closest(
        "max(float(np.max(np.abs(off_tilt))), _off_balance(directions, log_policy))",
        "_off_balance(directions, log_policy)",
        "the_certificate_sees_a_policy_that_is_not_the_closest",
    ),
    closest(
        "max(float(np.max(np.abs(off_tilt))), _off_balance(directions, log_policy))",
        "float(np.max(np.abs(off_tilt)))",
        "the_certificate_sees_a_wrong_balance_of_light_actions_in_nats",
    ),
    closest("block[~plays & (gains >= -_TIED)]", "block[:0]", "the_certificate_asks_why_an_action_is_not_played"),
    # The referee.
    referee(
        "newton",
        "normalise(log_reference + matrix @ np.exp(log_policy) / beta)",
        "normalise(log_reference + matrix @ np.exp(log_policy) / (2 * beta))",
        CYCLE,
    ),
    referee(
        "interior",
        "beta * (np.log(policy) - log_reference)",
        "beta * np.log(policy)",
        "test_referee.py::test_the_interior_point_is_feasible_and_nearly_complementary",
    ),
    referee(
        "limit",
        "face.closest(log_reference[support])",
        "face.closest(np.zeros(len(support)))",
        "test_referee.py::test_at_beta_0_duplicates_share_as_the_reference_has_them",
    ),
    referee(
        "limit",
        "np.where(plays, np.abs(gains), np.maximum(gains, 0))",
        "np.maximum(gains, 0)",
        "test_closest.py::test_regret_is_relative_to_the_margins_among_those_who_play",
    ),
    referee(
        "projection",
        "logs = logs + factors[place] * self._fences",
        "logs = logs - factors[place] * self._fences",
        "test_closest.py::test_degenerate_games_agree_with_250_digits",
    ),
    referee(
        "__init__",
        "residual=max(part.residual for part in parts)",
        "residual=min(part.residual for part in parts)",
        "test_referee.py::test_contexts_are_solved_apart_and_reported_together",
    ),
    referee("__init__", "and self.error <= _NATS", "", "test_closest.py::test_converged_asks_for_regret_and_error"),
    referee(
        "system",
        "transposed[np.arange(k), np.arange(k)] += 1",
        "transposed[np.arange(k), np.arange(k)] -= 1",
        "test_referee.py::test_the_system_is_solved_whatever_its_weights_are",
    ),
    referee(
        "system",
        "u - self._root * (self._matrix @",
        "u + self._root * (self._matrix @",
        "test_referee.py::test_the_system_is_solved_whatever_its_weights_are",
    ),
    # What a query tells.
    exact("Tally(visits * known, visits)", "Tally(known, visits)", f"tests/test_feedback.py::test_{UNBIASED}"),
    exact(
        "game.advantage(log_opponent) if",
        "game.advantage(log_behaviour) if",
        f"tests/test_feedback.py::test_{UNBIASED}",
    ),
    feedback("entries(rows, columns)", "entries(columns, rows)", UNBIASED),
    feedback("random.draw(log_opponent, theirs)", "random.draw(log_opponent, ours)", UNBIASED),
    feedback("half + margins, half, -half)", "half + margins, 2 * half, -2 * half)", UNBIASED),
    feedback("values) / len(actions)", "values)", UNBIASED),
    feedback("(1 - 2 * self.noise) * margins", "(1 - self.noise) * margins", JUDGE),
    feedback("-1, 1)) / self.temperature", "-1, 1)) * self.temperature", JUDGE),
    feedback(
        "jnp.clip(2 * margins, -1, 1)",
        "2 * margins",
        "a_judge_at_a_temperature_answers_for_margins_beyond_a_half_by_rounding",
    ),
    Mutation(
        "feedback",
        "nashgames/learning/feedback.py",
        "game.actions * self.tally(",
        "self.tally(",
        ("tests/test_samples.py::test_a_query_on_duels_is_unbiased",),
    ),
    # Rows and the disk.
    stored(
        "store/tables",
        "zip(reversed(layers), reversed(ids), strict=True)",
        "zip(layers, ids, strict=True)",
        f"{PARTS}of_a_run_the_newest_rows_count_in_every_table",
    ),
    stored("store/tables", "newer |= every", "newer", f"{PARTS}of_a_run_the_newest_rows_count_in_every_table"),
    stored(
        "store/tables",
        "self.complete = set.intersection(",
        "self.complete = set.union(",
        f"{TABLES}runs_whose_rows_are_gone_do_not_count",
    ),
    stored(
        "store/tables",
        'labels = {row["run_id"]: row for row in layer[LABELS].to_pylist()} | labels',
        'labels = labels | {row["run_id"]: row for row in layer[LABELS].to_pylist()}',
        f"{PARTS}the_newest_label_counts_and_a_run_played_again_brings_its_own",
    ),
    stored(
        "store/tables",
        "from_pandas=True",
        "from_pandas=False",
        f"{TABLES}floats_come_back_bit_for_bit_and_missing_values_as_missing",
    ),
    stored(
        "store/parts",
        "sorted(found, key=_number)",
        "sorted(found)",
        f"{PARTS}the_millionth_part_is_newer_than_the_one_before",
    ),
    stored(
        "store/parts",
        "there and there[-1] == _name(number, data)",
        "False",
        f"{PARTS}the_same_rows_are_the_same_part_and_are_not_there_twice",
    ),
    stored(
        "store/parts",
        "if name != _name(_number(name), data):",
        "if False:",
        f"{PARTS}a_damaged_part_is_told_whatever_bit_it_is",
    ),
    stored(
        "store/snapshot",
        "if _stamps(directory) == before:",
        "if True:",
        f"{PARTS}reading_begins_again_where_a_table_was_replaced_meanwhile",
    ),
    stored(
        "store/kept",
        "if digest(data) == fingerprint:",
        "if data:",
        "test_kept_games.py::test_a_file_that_is_another_by_now_is_not_kept",
    ),
    stored(
        "store/manifest",
        "theirs | {key: value for key, value in mine.items() if value != seen.get(key)}",
        "mine",
        f"{PARTS}figures_and_the_end_of_the_same_experiment_are_both_kept",
    ),
    stored(
        "disk", "os.fsync(file.fileno())\n        aside", "pass\n        aside", f"{PARTS}a_batch_costs_what_is_in_it"
    ),
    stored("disk", "    sync_directory(path.parent)", "    ", f"{PARTS}a_batch_costs_what_is_in_it"),
    stored("disk", "    aside = temporary(path)", "    aside = path", f"{PARTS}a_batch_costs_what_is_in_it"),
)


def misplaced(mutations: Iterable[Mutation] = MUTATIONS, root: Path = ROOT) -> list[str]:
    """A sentence for every mutation whose old text is not in its file exactly once."""
    return [
        f"{mutation.file} has {count} times, not once: {mutation.old}"
        for mutation in mutations
        if (count := (root / mutation.file).read_text(encoding="utf-8").count(mutation.old)) != 1
    ]


def copied(place: Path) -> Path:
    """The checkout at `place`, its packages as they are installed."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            hidden = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(ROOT / name, place / name, ignore=hidden)
        else:
            shutil.copy(ROOT / name, place / name)
    # The terminal lives in cli/ and is imported as nashgames.cli.
    (place / "nashgames" / "cli").symlink_to(place / "cli")
    return place


def tested(place: Path, tests: Sequence[str]) -> tuple[int | None, str]:
    """What pytest ends with at `place`, None where it does not end, and the last lines that it prints."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", *tests]
    own = {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1", "NASHGAMES_CACHE": str(place / "compiled")}
    try:
        done = subprocess.run(
            command, cwd=place, env=os.environ | own, capture_output=True, text=True, timeout=_LONGEST
        )
    except subprocess.TimeoutExpired:
        return None, f"no end within {_LONGEST} s"
    return done.returncode, "\n".join((done.stdout + done.stderr).splitlines()[-5:])


def caught(place: Path, mutation: Mutation) -> bool | None:
    """Whether a named test fails with the mutation, which is taken back; None where the tests could not be run."""
    path = place / mutation.file
    sound = path.read_text(encoding="utf-8")
    path.write_text(sound.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        code, said = tested(place, mutation.tests)
    finally:
        path.write_text(sound, encoding="utf-8")
    if code not in (0, _FAILED, None):
        print(said, flush=True)
        return None
    return code != 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="the mutations whose subject, file or tests have TEXT"
    )
    parser.add_argument("--list", action="store_true", help="print the table and run nothing")
    options = parser.parse_args()
    chosen = [each for each in MUTATIONS if any(options.only in text for text in (*each[:2], *each.tests))]
    if not chosen:
        parser.error(f"no mutation has '{options.only}' in its subject, file or tests; --list shows them all")
    wrong = misplaced(chosen)
    for number, each in enumerate(chosen, start=1) if options.list else ():
        print(f"{number:3d} {each.subject:11s} {each.file}\n    - {each.old}\n    + {each.new or '(nothing)'}")
        print(*(f"    {test}" for test in each.tests), sep="\n")
    for sentence in wrong:
        print(sentence)
    if options.list or wrong:
        return int(bool(wrong))
    with tempfile.TemporaryDirectory(prefix="nashgames-mutations-") as folder:
        place = copied(Path(folder))
        code, said = tested(place, sorted({test for each in chosen for test in each.tests}))
        if code != 0:
            print(f"the tests fail without any mutation:\n{said}")
            return 1
        total = 0
        for each in chosen:
            verdict = caught(place, each)
            total += verdict is True
            word = {True: "caught  ", False: "SURVIVED", None: "NOT RUN "}[verdict]
            print(f"{word}  {each.subject:11s} {each.file}: {each.old} → {each.new or '(nothing)'}", flush=True)
    share, word = f"{total / len(chosen):.3g}", "ok" if total == len(chosen) else "short"
    print(f"{total} of {len(chosen)} mutations caught · ratio: {share}  target: ≥ 1  {word}")
    return int(total < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
