"""F23: with one guard taken away, the fault that stands beside it turns red. A test that cannot fail is not a test."""

from __future__ import annotations

import pytest

from tests.support import require
from tests.torture.mutants import MUTANTS, Mutant, put_to_the_test
from tests.torture.trials import LONG, Torture


@pytest.mark.torture
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", [each for each in MUTANTS if LONG or not each.long], ids=lambda mutant: mutant.guard)
def test_a_guard_that_is_gone_is_missed(torture: Torture, mutant: Mutant) -> None:
    with torture("F23", ci=1, long=1) as fault:
        for trial in fault.trials():
            verdict = put_to_the_test(mutant, trial.folder)

            require(not verdict.skipped, f"{mutant.fault} cannot be injected on this machine")
            trial.injected += 1
            trial.checked += verdict.violations
            trial.found([] if verdict.violations else [f"{mutant.fault} did not notice that {mutant.guard}:\n{verdict.said}"])
