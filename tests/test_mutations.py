"""The record of `benchmarks/mutations.py` does not rot: what it mutates and the tests it names are there."""

from collections import Counter

from benchmarks.mutations import MUTATIONS, ROOT, misplaced


def test_every_text_that_is_mutated_is_in_its_file_once():
    assert misplaced() == []
    other = MUTATIONS[0]._replace(old="no such mathematics")
    assert misplaced([other]) == [f"{other.file} has 0 times, not once: no such mathematics"]
    assert all(mutation.new != mutation.old for mutation in MUTATIONS)


def test_every_test_that_is_named_is_defined():
    for test in {test for mutation in MUTATIONS for test in mutation.tests}:
        file, _, name = test.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert f"def {name.partition('[')[0]}(" in text or not name, test


def test_every_part_of_the_mathematics_is_mutated():
    counts = Counter(mutation.subject for mutation in MUTATIONS)
    assert min(counts[part] for part in ("solvers", "metrics", "certificate", "referee", "feedback", "store")) >= 8
