"""Logits and gradients, against torch's packed sequences in float64."""

import copy
import functools

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.kernels import kernels_of
from benchmarks.plain_loop import CELLS, PlainClassifier
from rnnlane.config.encoders import ENCODERS
from rnnlane.config.model import ModelConfig
from rnnlane.models import recurrent
from rnnlane.models.classifier import RecurrentClassifier, build_model
from rnnlane.models.encoder import Encoder, build_encoder
from rnnlane.models.gpu_speed import PERSISTENT
from rnnlane.training.precision import served_precision
from support.devices import needs_gpu

NUM_ROWS, NUM_POSITIONS, VOCABULARY_SIZE, NUM_CLASSES = 16, 64, 500, 3
SHAPES = [
    *((cell, 2, True, 64, "last") for cell in CELLS),
    *((cell, 1, False, 64, "mean") for cell in CELLS),
    ("lstm", 3, True, 64, "max"),
    # Above the sizes of cuDNN's kernels for small layers.
    ("lstm", 2, True, 129, "last"),
    ("gru", 1, False, 200, "last"),
    ("rnn", 1, True, 400, "last"),
]


class PackedClassifier(PlainClassifier):
    """The same function as a :class:`RecurrentClassifier`, by torch's own modules, in float64."""

    def __init__(self, config: ModelConfig, *, weights: dict[str, Tensor]):
        super().__init__(config, vocabulary_size=VOCABULARY_SIZE, num_classes=NUM_CLASSES)
        self._pooling = config.pooling
        self.double().load_state_dict({plain_name(name): value for name, value in weights.items()})

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        if self._pooling == "last":
            return super().forward(token_ids, lengths)
        packed = pack_padded_sequence(
            self.embedding(token_ids), lengths, batch_first=True, enforce_sorted=False
        )
        rows, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        pool = {"mean": torch.mean, "max": torch.amax}[self._pooling]
        real = [row[:length] for row, length in zip(rows, lengths, strict=True)]
        return self.head(torch.stack([pool(row, dim=0) for row in real]))


def plain_name(name: str) -> str:
    return name.removeprefix("body.").removeprefix("encoder.")


def a_batch() -> tuple[Tensor, Tensor, Tensor]:
    """Token ids [B, T], lengths [B] and labels [B]; one row is full, and one has a single token."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(2, NUM_POSITIONS, (NUM_ROWS,), generator=generator)
    lengths[3], lengths[5] = NUM_POSITIONS, 1
    shape = (NUM_ROWS, NUM_POSITIONS)
    token_ids = torch.randint(1, VOCABULARY_SIZE, shape, generator=generator)
    token_ids[torch.arange(NUM_POSITIONS) >= lengths.unsqueeze(1)] = 0
    return token_ids, lengths, torch.randint(0, NUM_CLASSES, (NUM_ROWS,), generator=generator)


def logits_and_gradients(
    model: nn.Module, token_ids: Tensor, lengths: Tensor, labels: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """In float64, on the CPU."""
    logits = model(token_ids, lengths)
    nn.functional.cross_entropy(logits, labels).backward()
    gradients = {
        plain_name(name): parameter.grad.cpu().double()
        for name, parameter in model.named_parameters()
    }
    return logits.detach().cpu().double(), gradients


def assert_close(ours: Tensor, exact: Tensor, *, share: float, what: str) -> None:
    """The largest difference is at most a share of the largest value."""
    difference = (ours - exact).abs().max() / exact.abs().max()
    assert difference <= share, f"{what}: off by {difference:.1e} of the largest value"


@pytest.mark.parametrize(("cell", "num_layers", "bidirectional", "hidden_size", "pooling"), SHAPES)
def test_logits_and_gradients_are_those_of_packed_rows(
    device, cell, num_layers, bidirectional, hidden_size, pooling
):
    config = ModelConfig(
        cell=cell,
        num_layers=num_layers,
        bidirectional=bidirectional,
        # On a CPU the sizes choose no kernels.
        hidden_size=hidden_size if device.type == "cuda" else hidden_size // 16,
        pooling=pooling,
        embedding_dim=96,
    )
    model: RecurrentClassifier = build_model(
        config, vocabulary_size=VOCABULARY_SIZE, num_classes=NUM_CLASSES, seed=0
    )
    token_ids, lengths, labels = a_batch()
    reference = PackedClassifier(
        config, weights={name: value.clone() for name, value in model.state_dict().items()}
    )
    exact_logits, exact_gradients = logits_and_gradients(reference, token_ids, lengths, labels)

    model.to(device)
    with served_precision():
        logits, gradients = logits_and_gradients(
            model, token_ids.to(device), lengths.to(device), labels.to(device)
        )

    assert_close(logits, exact_logits, share=1e-4, what="logits")
    assert gradients.keys() == exact_gradients.keys()
    for name, gradient in gradients.items():
        assert_close(gradient, exact_gradients[name], share=1e-4, what=name)


@pytest.mark.parametrize("cell", CELLS)
def test_two_streams_change_nothing(monkeypatch, device, cell):
    """Over steps that reuse each other's memory, which a missing wait would overwrite too early."""
    config = ModelConfig(
        cell=cell, num_layers=3, bidirectional=True, embedding_dim=96, hidden_size=64
    )
    model = build_model(config, vocabulary_size=VOCABULARY_SIZE, num_classes=NUM_CLASSES, seed=0)
    model.to(device)
    batch = [values.to(device) for values in a_batch()]

    logits, gradients = logits_and_gradients(model, *batch)
    monkeypatch.setattr(recurrent, "TWO_STREAMS", True)
    for _ in range(20):
        model.zero_grad()
        again, found = logits_and_gradients(model, *batch)
        assert torch.equal(again, logits)
        for name, gradient in found.items():
            assert_close(gradient, gradients[name], share=1e-5, what=name)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ENCODERS)
def test_every_encoder_gives_what_it_gives_on_the_cpu_whatever_the_padding(
    device, cell, bidirectional
):
    """The padding is not zero, so that reading it would show."""
    torch.manual_seed(0)
    encoder: Encoder = build_encoder(
        ModelConfig(
            cell=cell, num_layers=2, bidirectional=bidirectional, embedding_dim=96, hidden_size=64
        )
    )
    _, lengths, _ = a_batch()
    rows = torch.randn(NUM_ROWS, NUM_POSITIONS + 32, 96)
    is_padding = torch.arange(NUM_POSITIONS + 32) >= lengths.unsqueeze(1)
    outputs, final = encoder(rows, lengths)

    encoder.to(device)
    changed = rows.clone()
    changed[is_padding] = 9.0
    changed[0] = -changed[0]
    with served_precision():
        there, final_there = encoder(rows.to(device), lengths.to(device))
        others, other_final = encoder(changed.to(device), lengths.to(device))

    torch.testing.assert_close(final_there.cpu(), final, atol=1e-4, rtol=0)
    torch.testing.assert_close(there.cpu()[~is_padding], outputs[~is_padding], atol=1e-4, rtol=0)
    # Neither padding nor other rows reach a row.
    assert torch.equal(final_there[1:], other_final[1:])
    assert torch.equal(there.cpu()[1:][~is_padding[1:]], others.cpu()[1:][~is_padding[1:]])
    assert not torch.equal(final_there[0], other_final[0])


@pytest.mark.filterwarnings("error:RNN module weights are not part of single contiguous chunk")
@pytest.mark.parametrize("cell", CELLS)
def test_a_copy_computes_the_same_without_copying_its_weights(device, cell):
    """cuDNN warns where it must copy the weights of each call into one block."""
    config = ModelConfig(
        cell=cell, num_layers=2, bidirectional=True, embedding_dim=96, hidden_size=64
    )
    model = build_model(config, vocabulary_size=VOCABULARY_SIZE, num_classes=NUM_CLASSES, seed=0)
    model.to(device)
    token_ids, lengths, _ = (values.to(device) for values in a_batch())
    logits = model(token_ids, lengths)
    assert torch.equal(copy.deepcopy(model)(token_ids, lengths), logits)

    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    assert torch.equal(model(token_ids, lengths), logits)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("cell", PERSISTENT)
def test_the_fast_kernels_end_where_it_is_said(cell):
    """One kernel runs all positions; beyond, each position has kernels of its own."""
    device, lengths = torch.device("cuda"), torch.full((NUM_ROWS,), NUM_POSITIONS).cuda()
    counts = []
    for hidden_size in (PERSISTENT[cell].backward, PERSISTENT[cell].backward + 1):
        config = ModelConfig(cell=cell, embedding_dim=96, hidden_size=hidden_size)
        encoder = build_encoder(config).to(device)
        rows = torch.randn(NUM_ROWS, NUM_POSITIONS, 96, device=device)
        forward_and_backward(encoder, rows, lengths)
        work = functools.partial(forward_and_backward, encoder, rows, lengths)
        counts.append(len(kernels_of(work, device)))
    assert counts[0] < NUM_POSITIONS < counts[1]


def forward_and_backward(encoder: Encoder, rows: Tensor, lengths: Tensor) -> None:
    encoder(rows, lengths)[0].sum().backward()
