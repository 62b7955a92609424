"""Draws a round: its target, its store, its faults and their moments, all from one seed."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from faults.catalog import Ends, Kind, all_kinds
from faults.targets import SPREADS_S, TARGETS

# Of the further faults of a round, those that disturb the command that goes on.
_SECOND_SHARE = 0.4
_MAX_CHECKPOINTS = 6


@dataclass(frozen=True)
class PlannedFault:
    """A fault and its moment.

    Attributes:
        kind: its name.
        attempt: the command that it disturbs, from 1.
        moment: what it waits for; see :data:`~faults.targets.SPREADS_S`.
        delay_s: seconds after that.
        lasts_s: seconds until it is healed; None: until the command has ended.
    """

    kind: str
    attempt: int
    moment: str
    delay_s: float
    lasts_s: float | None

    def __str__(self) -> str:
        lasts = "" if self.lasts_s == 0 else " until the end"
        if self.lasts_s:
            lasts = f" for {self.lasts_s:.1f} s"
        again = "" if self.attempt == 1 else f" of command {self.attempt}"
        return f"{self.kind} {self.delay_s:.2f} s after {self.moment}{again}{lasts}"


@dataclass(frozen=True)
class Plan:
    """A round.

    Attributes:
        seed: decides everything else.
        target: a key of ``TARGETS``.
        store: "server" or "embedded".
        pause_s: seconds until a person goes on after a command has ended.
        lists_runs: whether a person calls `rnnlane runs` before.
        faults: in no order.
    """

    seed: int
    target: str
    store: str
    pause_s: float = 0.0
    lists_runs: bool = False
    faults: tuple[PlannedFault, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        values = json.loads(text)
        faults = tuple(PlannedFault(**fault) for fault in values.pop("faults"))
        return cls(**values, faults=faults)

    def __str__(self) -> str:
        faults = "; ".join(map(str, self.faults)) or "no fault"
        return f"seed {self.seed}  {self.target}, {self.store} store  {faults}"


def draw(seed: int, *, only: Sequence[str] = (), targets: Sequence[str] = ()) -> Plan:
    """The round of a seed.

    Args:
        seed: of this round alone.
        only: the kinds of its faults; default: one to three are drawn.
        targets: names to draw from; default: all.
    """
    chance = random.Random(seed)
    kinds = all_kinds()
    wanted = set(targets or TARGETS)
    chosen = [kinds[name] for name in only]
    if not only:
        names = [name for name, kind in kinds.items() if kind.targets & wanted]
        chosen = [kinds[chance.choice(names)]]
    fitting = wanted.intersection(*(kind.targets for kind in chosen))
    stores = {kind.store for kind in chosen} - {"any"}
    if not fitting or len(stores) > 1:
        raise ValueError(f"{', '.join(only)} fit no target of {', '.join(sorted(wanted))} together")
    target = TARGETS[chance.choice(sorted(fitting))]
    store = stores.pop() if stores else chance.choice(["embedded", "server"])
    if not only:
        others = [
            kind
            for kind in kinds.values()
            if kind not in chosen and target.name in kind.targets and kind.store in {"any", store}
        ]
        chosen += chance.sample(others, chance.choice([0, 1, 1, 2]))
    first = chosen[0]
    # There is a second command only if the first is likely to have been cut off.
    can_be_second = first.at_rest or first.ends >= Ends.STOPS
    faults = tuple(
        _planned(kind, target.moments, chance, can_be_second and kind is not first)
        for kind in chosen
    )
    pause_s = chance.choice([0.0, 0.0, 1.0, 5.0])
    return Plan(seed, target.name, store, pause_s, chance.random() < 0.3, faults)


def _planned(
    kind: Kind, moments: Sequence[str], chance: random.Random, can_be_second: bool
) -> PlannedFault:
    moment = chance.choice([name for name in moments if not kind.moments or name in kind.moments])
    delay_s = chance.uniform(0, SPREADS_S[moment])
    if moment == "checkpoint":
        moment = f"checkpoint {chance.randint(1, _MAX_CHECKPOINTS)}"
    lasts_s = kind.lasts_s
    attempt = 2 if chance.random() < _SECOND_SHARE and can_be_second else 1
    return PlannedFault(
        kind.name,
        attempt,
        moment,
        round(delay_s, 3),
        None if lasts_s is None else round(chance.uniform(*lasts_s), 3),
    )
