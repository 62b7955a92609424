"""The n-gram channel against scikit-learn, counting again, and torch's EmbeddingBag."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from torch.nn import functional

from rnnlane.config.model import NgramConfig
from rnnlane.errors import ConfigError
from rnnlane.models.ngrams import (
    NgramChannel,
    check_size,
    fitted_scale,
    log_count_ratios,
    unseen_logits,
)

NUM_BUCKETS = 40


def test_a_channel_of_gigabytes_is_refused():
    config = NgramConfig(bits=22)
    check_size(config, num_classes=32)
    with pytest.raises(ConfigError, match=r"may take 2.7 GB .* take 83.9 GB") as error:
        NgramChannel(config, num_classes=1000)
    assert error.value.remedy == "lower it to 17 or less"
    check_size(NgramConfig(bits=17), num_classes=1000)


def some_rows(num_classes: int, num_rows: int = 60):
    """0/1 features [N, F], of which some occur in no row, and labels."""
    random = np.random.default_rng(num_classes)
    labels = np.arange(num_rows) % num_classes
    likely = random.uniform(0.05, 0.6, (num_classes, NUM_BUCKETS))
    features = (random.random((num_rows, NUM_BUCKETS)) < likely[labels]).astype(np.int64)
    features[:, [0, 7]] = 0
    features[:, 5] = 1  # so that no row is empty
    counts = np.stack([features[labels == one].sum(axis=0) for one in range(num_classes)])
    return features, labels, counts.astype(np.float64)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_ratios_are_those_of_naive_bayes(num_classes):
    features, labels, counts = some_rows(num_classes)
    ratios = log_count_ratios(counts, 0.5)
    occurs = counts.sum(axis=0) > 0
    assert not ratios[:, ~occurs].any()
    for one in range(num_classes):
        fitted = MultinomialNB(alpha=0.5).fit(features[:, occurs], labels == one)
        others, own = fitted.feature_log_prob_
        np.testing.assert_allclose(ratios[one, occurs], own - others, rtol=1e-12)
    if num_classes == 2:
        np.testing.assert_allclose(ratios[0], -ratios[1], atol=1e-12)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_row_left_out_is_one_that_is_not_counted(num_classes):
    features, labels, counts = some_rows(num_classes)
    ratios = log_count_ratios(counts, 1.0)
    rows, buckets = np.nonzero(features)
    offsets = np.searchsorted(rows, np.arange(len(labels) + 1))
    found = unseen_logits(counts, ratios, (buckets, offsets), labels, smoothing=1.0)
    occurs = counts.sum(axis=0) > 0
    others = counts.sum(axis=0) - counts
    sums = np.log((counts + 1)[:, occurs].sum(axis=1)) - np.log((others + 1)[:, occurs].sum(axis=1))
    for row, label in enumerate(labels):
        left = counts.copy()
        left[label] -= features[row]
        ratio = np.log(left + 1) - np.log(left.sum(axis=0) - left + 1) - sums[:, None]
        np.testing.assert_allclose(found[row], ratio @ features[row], atol=1e-9)


def test_the_scale_has_the_least_cross_entropy():
    features, labels, counts = some_rows(2, num_rows=300)
    logits = features @ log_count_ratios(counts, 1.0).T
    noisy = logits + np.random.default_rng(0).normal(0, 9, logits.shape)
    regression = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
    regression.fit((noisy[:, 1] - noisy[:, 0])[:, None], labels)
    assert fitted_scale(noisy, labels) == pytest.approx(regression.coef_.item(), rel=1e-4)


def test_the_scale_is_bounded_where_nothing_or_everything_is_told():
    labels = np.array([0, 1, 0, 1])
    told = np.eye(2)[labels]
    assert 32 <= fitted_scale(told, labels) <= 1024
    assert fitted_scale(-told, labels) == 0.2  # their standard deviation is 0.5
    assert fitted_scale(np.zeros((4, 2)), labels) == 1


@pytest.fixture
def channel():
    channel = NgramChannel(NgramConfig(bits=6, dropout=0.4), num_classes=3)
    with torch.no_grad():
        channel.ratio.copy_(torch.randn(64, 3, generator=torch.Generator().manual_seed(0)))
        channel.weight.copy_(torch.rand(64, 3, generator=torch.Generator().manual_seed(1)))
    return channel


BUCKETS = torch.tensor([[3, 9, 63], [5, 0, 0], [9, 3, 0]])


def test_a_row_is_the_sum_of_its_ngrams(channel):
    channel.eval()
    features = functional.one_hot(BUCKETS, 64).sum(dim=1).float()
    features[:, 0] = 0  # padding
    expected = features @ (channel.ratio * channel.weight)
    torch.testing.assert_close(channel(BUCKETS), expected)
    wider = functional.pad(BUCKETS, (0, 4))
    torch.testing.assert_close(channel(wider), expected)


def test_gradients_are_those_of_an_embedding_bag(channel):
    channel.eval()
    bag = torch.nn.EmbeddingBag(64, 3, mode="sum", padding_idx=0)
    with torch.no_grad():
        bag.weight.copy_(channel.ratio * channel.weight)
    signs = torch.tensor([[1.0, -2.0, 3.0], [0.5, 1.0, 1.0], [2.0, 2.0, -1.0]])
    (bag(BUCKETS) * signs).sum().backward()
    (channel(BUCKETS) * signs).sum().backward()
    torch.testing.assert_close(channel.weight.grad, bag.weight.grad * channel.ratio)
    assert channel.weight.grad[0].abs().sum() == 0


def test_ngrams_are_dropped_one_by_one_and_the_rest_scaled_up(channel):
    channel.train()
    torch.manual_seed(0)
    # One n-gram a row, so that each answer is 0 or that of the n-gram over the share kept.
    buckets = torch.full((2000, 1), 9)
    answers = channel(buckets)
    kept = answers.abs().sum(dim=1) > 0
    assert kept.float().mean().item() == pytest.approx(0.6, abs=0.05)
    value = (channel.ratio * channel.weight)[9] / 0.6
    torch.testing.assert_close(answers[kept], value.expand(int(kept.sum()), 3))


def test_with_adam_the_speed_is_that_of_the_learning_rate():
    moved = []
    for speed, rate in ((1.0, 0.03), (3.0, 0.01)):
        channel = NgramChannel(NgramConfig(bits=6, speed=speed, dropout=0.0), num_classes=2)
        channel.start_(np.linspace(-1, 1, 128).reshape(2, 64))
        before = (channel.ratio * channel.weight).detach()
        np.testing.assert_allclose(before.numpy(), np.linspace(-1, 1, 128).reshape(2, 64).T, 1e-6)
        optimizer = torch.optim.Adam(channel.parameters(), lr=rate)
        functional.cross_entropy(channel(BUCKETS), torch.tensor([0, 1, 1])).backward()
        optimizer.step()
        moved.append((channel.ratio * channel.weight).detach() - before)
    assert moved[0].abs().max() > 0.02
    torch.testing.assert_close(*moved, atol=1e-6, rtol=1e-4)
