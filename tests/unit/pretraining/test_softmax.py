import math

import numpy as np
import pytest
import torch

from rnnlane.pretraining.softmax import SAMPLING_POWER, Sampler, full_losses, sampled_losses

COUNTS = [0, 5, 90, 3, 2]


def setting(seed: int = 0):
    torch.manual_seed(seed)
    features, table = torch.randn(6, 3), torch.randn(5, 3, requires_grad=True)
    bias = torch.tensor([-math.inf, 0.1, 0.4, -0.3, 0.2])
    return features.requires_grad_(), table, bias, torch.tensor([1, 2, 2, 4, 3, 1])


def test_the_full_loss_is_that_of_a_naive_loop():
    features, table, bias, targets = setting()
    found = full_losses(features, table, bias, targets)
    for n, target in enumerate(targets.tolist()):
        scores = [float((features[n] @ table[w] + bias[w]).detach()) for w in range(1, 5)]
        total = sum(math.exp(score) for score in scores)
        assert found[n].item() == pytest.approx(math.log(total) - scores[target - 1], rel=1e-5)
    found.sum().backward()
    assert torch.isfinite(table.grad).all()
    assert not table.grad[0].any()


def test_the_sampled_loss_is_that_of_a_naive_loop():
    features, table, bias, targets = setting()
    samples = torch.tensor([2, 2, 4, 3])
    log_expected = torch.tensor([-math.inf, 0.5, 1.5, -0.7, 0.1])
    found = sampled_losses(
        features, targets, samples, rows=table, bias=bias, log_expected=log_expected
    )

    def logit(n: int, w: int) -> float:
        return float((features[n] @ table[w] + bias[w]).detach())

    for n, target in enumerate(targets.tolist()):
        others = [
            math.exp(logit(n, w) - float(log_expected[w])) for w in samples.tolist() if w != target
        ]
        own = math.exp(logit(n, target))
        assert found[n].item() == pytest.approx(math.log((own + sum(others)) / own), rel=1e-4)
    found.sum().backward()
    assert torch.isfinite(table.grad).all()
    assert torch.isfinite(features.grad).all()


def test_with_many_samples_loss_and_gradient_approach_those_of_the_full_one():
    features, table, bias, targets = setting()
    sampler = Sampler(COUNTS)
    samples = torch.from_numpy(sampler.draw(40_000, (1, 2)))
    log_expected = torch.from_numpy(sampler.log_probabilities) + math.log(len(samples))
    full = full_losses(features, table, bias, targets)
    sampled = sampled_losses(
        features, targets, samples, rows=table, bias=bias, log_expected=log_expected
    )
    torch.testing.assert_close(sampled, full, atol=0.05, rtol=0.05)
    expected = torch.autograd.grad(full.sum(), table)[0]
    torch.testing.assert_close(
        torch.autograd.grad(sampled.sum(), table)[0], expected, atol=0.1, rtol=0.05
    )


def test_draws_follow_the_counts_and_the_entropy():
    sampler = Sampler(COUNTS)
    drawn = sampler.draw(50_000, (7, 1, 3))
    weights = np.array(COUNTS) ** SAMPLING_POWER
    shares = np.bincount(drawn, minlength=5) / len(drawn)
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.01)
    found = np.exp(sampler.log_probabilities)
    np.testing.assert_allclose(found, weights / weights.sum(), rtol=1e-5)
    assert (sampler.draw(9, (1, 2)) == sampler.draw(9, (1, 2))).all()
    assert (sampler.draw(9, (1, 2)) != sampler.draw(9, (1, 3))).any()
