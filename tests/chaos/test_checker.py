"""The checker fails on what it is there to find."""

from pathlib import Path

import pytest
from tests.chaos.checker import check, percentile
from tests.chaos.history import History, Outcome

OK, FAIL, UNKNOWN = Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN


def test_every_accepted_key_with_one_effect_holds():
    verdict = check({"a": OK, "b": OK}, {"a": 1, "b": 1})
    assert verdict.holds
    assert str(verdict) == "accepted 2, lost 0, duplicated 0, unexpected 0, recovered 0"


def test_a_planted_loss_is_found():
    verdict = check({"a": OK, "b": OK}, {"a": 1})
    assert (verdict.holds, verdict.lost) == (False, {"b"})


def test_a_planted_duplicate_is_found():
    verdict = check({"a": OK}, {"a": 2})
    assert (verdict.holds, verdict.duplicated) == (False, {"a"})


@pytest.mark.parametrize("outcomes", [{}, {"a": FAIL}])
def test_an_effect_of_what_did_not_happen_is_found(outcomes):
    verdict = check(outcomes, {"a": 1})
    assert (verdict.holds, verdict.unexpected) == (False, {"a"})


def test_what_nobody_knows_may_have_happened_or_not():
    verdict = check({"a": UNKNOWN, "b": UNKNOWN}, {"a": 1})
    assert verdict.holds
    assert verdict.recovered == {"a"}


def test_even_what_nobody_knows_must_not_happen_twice():
    assert check({"a": UNKNOWN}, {"a": 2}).duplicated == {"a"}


def test_a_history_is_on_disk_before_the_next_step_and_its_last_word_counts(tmp_path: Path):
    history = History(tmp_path / "history.jsonl")
    for key, *outcomes in (
        ("acknowledged", Outcome.INVOKE, OK),
        ("refused", Outcome.INVOKE, FAIL),
        ("timed out", Outcome.INVOKE, UNKNOWN),
        ("retried", Outcome.INVOKE, UNKNOWN, Outcome.INVOKE, OK),
        ("refused after a timeout", Outcome.INVOKE, UNKNOWN, Outcome.INVOKE, FAIL),
        ("cut short", Outcome.INVOKE),
    ):
        for outcome in outcomes:
            history.note("enqueue", key, outcome)
    history.note("other", "acknowledged", FAIL)
    assert history.outcomes("enqueue") == {  # read while it is still open
        "acknowledged": OK,
        "refused": FAIL,
        "timed out": UNKNOWN,
        "retried": OK,
        "refused after a timeout": UNKNOWN,
        "cut short": UNKNOWN,
    }
    history.close()


def test_percentiles_are_values_that_were_seen():
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0] * 99 + [9.0], 0.99) == 9.0
    assert percentile([], 0.5) == 0.0
