import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlane.cli import layout

CELLS = st.text(alphabet="ab é影 ", max_size=30).map(lambda text: " ".join(text.split()))
ROWS = st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=4)


@given(text=st.text(alphabet="ab影  \t", max_size=120), width=st.integers(1, 60))
def test_text_keeps_its_words_and_only_a_wide_word_makes_a_line_wider(text, width):
    lines = layout.wrapped(text, width, indent=" ")
    assert " ".join(lines).split() == text.split()
    for line in lines:
        assert layout._cells(line) <= width or len(line.split()) == 1 or "\t" in text


@given(rows=ROWS, width=st.integers(8, 100), droppable=st.sampled_from([(), ("x",), ("z", "y")]))
def test_a_table_shows_every_word_of_its_columns_in_a_line(rows, width, droppable):
    header = ["x", "y", "z"]
    table = layout.table(rows, width=width, header=header, droppable=droppable)
    is_stacked = not table.head
    names = set(header) if is_stacked else set(table.head[0].split())
    shown = [number for number, name in enumerate(header) if name in names]
    for row, lines in zip(rows, table.rows, strict=True):
        words = sorted(word for number in shown for word in row[number].split())
        if is_stacked:
            words = sorted([*words, *header])
        assert sorted(" ".join(lines).split()) == words
    if not is_stacked:
        assert all(layout._cells(line) <= width for lines in table.rows for line in lines)


def test_phrases_stay_together():
    text = "epoch 3  train loss 0.5000 accuracy 0.7500  val loss 0.2500 accuracy 0.8750"
    assert layout.wrapped(text, 45, indent="  ") == [
        "epoch 3  train loss 0.5000 accuracy 0.7500",
        "  val loss 0.2500 accuracy 0.8750",
    ]


def test_a_command_of_several_lines_can_be_copied():
    lines = layout.wrapped('rnnlane predict --run 1a2b3c4d "a text of words" --json', 30)
    assert lines == [
        "rnnlane predict --run \\",
        '1a2b3c4d "a text of words" \\',
        "--json",
    ]


def test_the_widest_column_gives_way_first():
    rows = [["a b c d e f", "x"], ["a", "x y z"]]
    assert layout.table(rows, width=15).rows == [
        ["  a b c   x", "  d e f"],
        ["  a       x y z"],
    ]


@pytest.mark.parametrize(
    ("width", "head", "foot"),
    [
        (30, "  run        status     rows/s", []),
        (28, "  run       status    rows/s", []),
        (21, "  run        status", ["not shown for lack of", "room, but in --json:", "rows/s"]),
    ],
)
def test_columns_move_together_and_then_one_is_left_out(width, head, foot):
    rows = [["12345678", "FINISHED", "1"]]
    table = layout.table(
        rows, width=width, header=["run", "status", "rows/s"], droppable=["rows/s"]
    )
    assert table.head[0] == head
    assert table.foot == [*foot, ""] if foot else table.foot == []


def test_what_does_not_fit_as_a_table_is_a_cell_a_line():
    rows = [["12345678", "a long name"], ["2", "b"]]
    table = layout.table(rows, width=17, header=["run", "long-title"])
    assert table.head == []
    assert table.rows == [
        [
            "  run          12345678",
            "  long-title   a",
            "               long",
            "               name",
            "",
        ],
        ["  run          2", "  long-title   b"],
    ]


def test_a_pipe_gets_a_wider_table_rather_than_a_stacked_one():
    rows = [["a" * 30, "b" * 30]]
    table = layout.table(rows, width=20, header=["x", "y"], stacks=False)
    assert table.rows == [["  " + "a" * 30 + "  " + "b" * 30]]


def test_nothing_is_nothing():
    assert layout.table([], width=10).rows == []
    assert layout.table([], width=10, header=["x"]).rows == []
    assert layout.wrapped("", 10) == [""]
