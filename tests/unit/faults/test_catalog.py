import random

import pytest

from faults.catalog import EVERY, KINDS, Ends, all_kinds, fault
from faults.plan import Plan, draw
from faults.targets import SPREADS_S, TARGETS

KIND_NAMES = sorted(all_kinds())


def test_there_are_at_least_forty_kinds():
    assert len(KIND_NAMES) >= 40


@pytest.mark.parametrize("name", KIND_NAMES)
def test_every_kind_fits_a_target_at_one_of_its_moments(name):
    kind = all_kinds()[name]
    assert kind.summary
    assert kind.targets
    assert kind.targets <= EVERY
    assert kind.store in {"any", "server", "embedded"}
    for target in kind.targets:
        assert not kind.moments or set(kind.moments) & set(TARGETS[target].moments)
    if kind.lasts_s is not None:
        shortest, longest = kind.lasts_s
        assert 0 <= shortest <= longest <= 60


def test_each_target_has_many_kinds():
    for target in TARGETS:
        assert sum(target in kind.targets for kind in all_kinds().values()) >= 20


def test_two_kinds_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two kinds are called driver-killed"):
        fault("driver-killed", "once more")(lambda machine: None)


@pytest.mark.parametrize("seed", range(0, 300, 7))
def test_a_plan_depends_on_its_seed_alone_and_fits(seed):
    plan = draw(seed)
    random.random()
    assert draw(seed) == plan == Plan.from_json(plan.to_json())
    assert 1 <= len(plan.faults) <= 3
    assert plan.faults[0].attempt == 1
    assert len({planned.kind for planned in plan.faults}) == len(plan.faults)
    for planned in plan.faults:
        kind = KINDS[planned.kind]
        assert plan.target in kind.targets
        assert kind.store in {"any", plan.store}
        moment = planned.moment.split()[0]
        assert moment in TARGETS[plan.target].moments
        assert not kind.moments or moment in kind.moments
        assert 0 <= planned.delay_s <= SPREADS_S[moment]


def test_few_rounds_have_every_kind_of_target_and_store():
    plans = [draw(seed) for seed in range(60)]
    assert {plan.target for plan in plans} == set(TARGETS)
    assert {plan.store for plan in plans} == {"embedded", "server"}
    assert {len(plan.faults) for plan in plans} == {1, 2, 3}
    assert any(planned.attempt == 2 for plan in plans for planned in plan.faults)


def test_one_kind_alone_can_be_asked_for():
    plan = draw(3, only=["worker-killed"])
    assert [planned.kind for planned in plan.faults] == ["worker-killed"]
    assert plan.target == "workers"
    with pytest.raises(ValueError, match="worker-killed fit no target of run together"):
        draw(3, only=["worker-killed"], targets=["run"])
    with pytest.raises(ValueError, match="fit no target"):
        draw(3, only=["store-away", "database-locked"])


def test_several_kinds_together_can_be_asked_for():
    plan = draw(3, only=["store-away", "driver-killed"], targets=["run"])
    assert [planned.kind for planned in plan.faults] == ["store-away", "driver-killed"]
    assert (plan.target, plan.store) == ("run", "server")


def test_the_ends_include_each_other():
    assert Ends.FINISHES < Ends.FAILS < Ends.STOPS < Ends.DIES
