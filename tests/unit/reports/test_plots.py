from rnnlane.records.explanation import Explanation
from rnnlane.reports.plots import MAX_TOKENS


def explanation(tokens: list[str], shares: list[float]) -> Explanation:
    return Explanation(
        text=" ".join(tokens),
        label="a label of many letters " * 5,
        probability=0.9,
        tokens=tuple(tokens),
        known=(True,) * len(tokens),
        shares=tuple(shares),
        base=0.0,
        log_odds=sum(shares),
    )


def test_the_token_with_the_largest_share_has_the_strongest_color():
    figure = explanation(["a", "$fine$", "dull"], [0.0, 2.0, -1.0]).plot()
    words = {word.get_text(): word.get_bbox_patch() for word in figure.axes[0].texts}
    opacities = {word: patch.get_alpha() for word, patch in words.items()}
    assert opacities == {"a": 0.0, "$fine$": 0.6, "dull": 0.3}
    assert words["$fine$"].get_facecolor()[:3] != words["dull"].get_facecolor()[:3]


def test_long_texts_and_tokens_are_cut_and_lines_are_full():
    figure = explanation(["x" * 5000, *["word"] * 999], [0.0] * 1000).plot()
    axes = figure.axes[0]
    assert len(axes.texts) == MAX_TOKENS
    assert axes.texts[0].get_text() == "x" * 39 + "…"
    assert f"the first {MAX_TOKENS} of 1,000 tokens" in axes.get_title(loc="left")
    lines = {word.get_position()[1] for word in axes.texts}
    assert len(lines) == -(-(MAX_TOKENS * 5 + 36) // 96)
