"""`python -m tests.faults`: small runs, searches, baselines and jobs under random faults.

Each round has a machine of its own (see ``machine.py``), one to three faults of the catalog, and
must end as an undisturbed one. A round depends on its seed: `--seed 7 --rounds 3` runs the rounds
7, 8 and 9, and `--seed 8` the second of them again.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from faults.campaign import Campaign  # noqa: E402
from faults.catalog import all_kinds  # noqa: E402
from faults.machine import why_not  # noqa: E402
from faults.plan import draw  # noqa: E402
from faults.targets import TARGETS  # noqa: E402


def main() -> int:
    """Exit code 1 if a round failed, 2 if rounds cannot run here."""
    options = _parser().parse_args()
    kinds = all_kinds()
    if options.list:
        for kind in kinds.values():
            print(f"{kind.name:24} {kind.summary}  [{', '.join(sorted(kind.targets))}]")
        print(f"{len(kinds)} kinds of fault, {len(TARGETS)} targets: {', '.join(TARGETS)}")
        return 0
    if reason := why_not():
        print(reason, file=sys.stderr)
        return 2
    # So that the round's machine ends with this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    folder = Path(options.folder or tempfile.mkdtemp(prefix="rnnlane-faults-"))
    campaign = Campaign(folder)
    plans = [
        draw(options.seed + number, only=options.only, targets=options.target)
        for number in range(options.rounds)
    ]
    deadline = time.monotonic() + options.seconds
    failed = []
    for plan in plans:
        if time.monotonic() > deadline:
            print(f"no time is left for seed {plan.seed} and later ones")
            break
        if not campaign.run(plan):
            failed.append(plan.seed)
    print(campaign.summary())
    if failed:
        print(f"failed: {', '.join(map(str, failed))}; kept in {folder}")
    return int(bool(failed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="number of rounds")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="KIND",
        choices=sorted(all_kinds()),
        help="a fault of each round; may be given several times; default: one to three drawn",
    )
    parser.add_argument(
        "--target", action="append", default=[], choices=sorted(TARGETS), help="only on these"
    )
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="start no round later than this"
    )
    parser.add_argument("--list", action="store_true", help="print the catalog")
    parser.add_argument(
        "--folder",
        help="keeps failed rounds and what undisturbed ones left; default: a new one",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
