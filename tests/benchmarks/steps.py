"""What a step consists of, how it scales with the workers, and what it sends."""

from __future__ import annotations

import functools
from pathlib import Path

from benchmarks.measure import ROOT, ROUNDS, Row, alternate, medians, row
from benchmarks.our_loop import bytes_a_step, our_rows_per_s, step_parts
from rnnlane.config import ExperimentConfig, load_experiment
from support.workers import in_worker_group

# Some seconds a round.
NUM_STEPS = {"rnn-1": 60, "lstm-1": 60, "birnn-3": 25, "bilstm-3": 25}
KERNEL_SHARE = {"birnn-3": 0.75, "bilstm-3": 0.75}
PARTS = ("feed", "kernels", "communication", "optimizer")


def experiment(name: str, *overrides: str) -> ExperimentConfig:
    """A shipped one."""
    return load_experiment(ROOT / "experiments" / f"{name}.yaml", overrides)


def limit_rows(name: str, _: Path) -> list[Row]:
    """The share of a step of one worker that is the recurrent kernels, and all its parts."""
    config = experiment(name)
    rounds = [in_worker_group(1, step_parts, config, NUM_STEPS[name])[0] for _ in range(ROUNDS)]
    shares = [found["kernels"] / found["total"] for found in rounds]
    middle = sorted(rounds, key=lambda found: found["kernels"] / found["total"])[ROUNDS // 2]
    details = {part: f"{middle[part] / middle['total']:.0%}" for part in PARTS}
    rest = 1.0 - sum(middle[part] for part in PARTS) / middle["total"]
    details |= {"the rest": f"{rest:.0%}"}
    step_ms = 1000 * middle["total"] / NUM_STEPS[name]
    return [
        row(
            f"{name}, 1 worker: kernels' share of a step",
            shares,
            goal=KERNEL_SHARE.get(name),
            details={**details, "step ms": step_ms},
        )
    ]


def scaling_rows(name: str, _: Path) -> list[Row]:
    """Two workers against one."""
    rows = []
    for batch_size in (32, 256):
        config = experiment(name, f"training.global_batch_size={batch_size}")
        num_steps = max(4, NUM_STEPS[name] * 32 // batch_size)

        def speed(
            workers: int, config: ExperimentConfig = config, num_steps: int = num_steps
        ) -> float:
            return float(in_worker_group(workers, our_rows_per_s, config, num_steps)[0])

        rounds = alternate(lambda speed=speed: speed(2), lambda speed=speed: speed(1))
        two, one = medians(rounds)
        rows.append(
            row(
                f"{name}, batch {batch_size}: 2 workers against 1",
                [double / single for double, single in rounds],
                goal=1.7 if (name, batch_size) == ("bilstm-3", 256) else None,
                details={"2 workers rows/s": two, "1 worker": one},
            )
        )
    return rows


def shards_rows(name: str, _: Path) -> list[Row]:
    """Steps of two workers that sum the gradients of shards, against steps that do not."""
    counts = (None, 4, 8)
    configs = [
        experiment(name, *([f"training.reduction_shards={count}"] if count else []))
        for count in counts
    ]

    def speed(config: ExperimentConfig) -> float:
        return float(in_worker_group(2, our_rows_per_s, config, NUM_STEPS[name])[0])

    rounds = alternate(*(functools.partial(speed, config) for config in configs))
    return [
        row(
            f"{name}, 2 workers: {count} shards against none",
            [speeds[index] / speeds[0] for speeds in rounds],
            goal=0.8,
            details={"rows/s": medians(rounds)[index], "none": medians(rounds)[0]},
        )
        for index, count in enumerate(counts)
        if count
    ]


def bytes_rows(name: str, _: Path) -> list[Row]:
    """What travels in a step for 100,000 words, against 30,000: words touched, not words known."""
    config = experiment(name)
    small, large = (
        in_worker_group(2, bytes_a_step, config, vocabulary_size)[0]
        for vocabulary_size in (30_000, 100_000)
    )
    dense = 4.0 * 100_000 * config.model.embedding_dim
    return [
        row(
            f"{name}: bytes a step, 100k words against 30k",
            [large / small],
            details={
                "30k words MB": small / 1e6,
                "100k words MB": large / 1e6,
                "whole table of 100k MB": dense / 1e6,
            },
        )
    ]
