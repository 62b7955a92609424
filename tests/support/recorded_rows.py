"""What workers of ``support.recorded_train`` wrote down: which rows a run was trained on."""

import json
from collections import Counter
from pathlib import Path


def taken(records: Path, *, epochs: int) -> dict[tuple[int, int], list[int]]:
    """The row ids of each (epoch, step) that the final weights come from.

    A group of workers counts up to the step at which the next one's checkpoint stands.
    """
    groups: dict[str, list[list]] = {}
    for file in records.glob("attempt-*"):
        group = file.name.rpartition("-rank-")[0]
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        groups.setdefault(group, []).append(lines)
    groups = dict(sorted(groups.items(), key=lambda item: item[1][0][0][3]))
    starts = [tuple(ranks[0][0][:2]) for ranks in groups.values()]
    ends = [*starts[1:], (epochs + 1, 0)]
    rows_of: dict[tuple[int, int], list[int]] = {}
    for (group, ranks), start, end in zip(groups.items(), starts, ends, strict=True):
        assert len(ranks) == int(group.rpartition("-of-")[2])
        for checkpoint, *rank in ranks:
            assert checkpoint[:3] == [*start, None]
            # Epoch 0 is the trial run that measures gradient norms.
            lines = [line for line in rank if start <= tuple(line[:2]) < end and line[0] > 0]
            for epoch, step, rows, _ in lines:
                rows_of.setdefault((epoch, step), []).extend(rows)
    return rows_of


def assert_every_row_once_an_epoch(records: Path, result: dict, *, epochs: int) -> None:
    """``result`` is what `rnnlane train` answered."""
    manifest = json.loads((Path(result["prepared_path"]) / "manifest.json").read_text())
    num_rows = manifest["splits"]["train"]["num_rows"]
    rows_of = taken(records, epochs=epochs)
    for epoch in range(1, epochs + 1):
        steps = [step for at, step in sorted(rows_of) if at == epoch]
        assert steps == list(range(-(-num_rows // 32)))
        counts = Counter(row for at, rows in rows_of.items() if at[0] == epoch for row in rows)
        assert counts == Counter(range(num_rows)), epoch
