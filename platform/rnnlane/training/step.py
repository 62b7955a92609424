"""One optimizer step: forward, loss, backward, exchange, clip, update.

Nothing in it waits for a GPU: whether the update is skipped is decided on the device, and the
step's result travels to the host while the next steps are launched. What it reads and writes is at
the same addresses in all steps of one shape, so that it can be captured as CUDA graphs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from rnnlane.config.training import TrainingConfig
from rnnlane.models.classifier import RecurrentClassifier, pooled
from rnnlane.records.events import RunEvents
from rnnlane.training import active_rows
from rnnlane.training.adversary import Adversary, embedding_scale
from rnnlane.training.all_reduce import GradientBuffer, StepGradient, sum_in_order
from rnnlane.training.average import WeightAverage
from rnnlane.training.clipping import clip_, gradient_norm, norm_order
from rnnlane.training.feed import Shard, StepBatch
from rnnlane.training.graphs import Graphs, Launch
from rnnlane.training.group import WorkerGroup
from rnnlane.training.inputs import FEW, Inputs, Shape
from rnnlane.training.layer_rates import layer_rates
from rnnlane.training.precision import uses_bfloat16
from rnnlane.training.step_result import NUM_COUNTERS, LaunchedStep, mark

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def build_optimizer(model: torch.nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimizer over all parameters, with torch's fused kernels.

    Its groups are the layers from the top, where these differ in how they learn; else all is one.
    """
    options: dict[str, float | bool] = {"weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        options["momentum"] = config.momentum
    else:
        # Torch refuses to capture a step without it; the fused kernels are the same.
        options["capturable"] = config.cuda_graphs and next(model.parameters()).is_cuda
    kind: Any = OPTIMIZERS[config.optimizer]
    learned: Any = model.parameters()
    if config.layer_rate_decay != 1.0 or config.gradual_unfreezing:
        assert isinstance(model, RecurrentClassifier)
        learned = [{"params": layer} for layer in model.layers()]
    optimizer: torch.optim.Optimizer = kind(learned, lr=config.learning_rate, **options)
    # Steps before a capture are no mistake, which torch would warn of.
    optimizer._warned_capturable_if_run_uncaptured = True
    if config.optimizer == "sgd" and config.momentum > 0:
        # Torch creates them in the first step, and leaves them uninitialized if it is skipped.
        for parameter in model.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


# Entries, of 16 bytes in all: kernels then read several at once.
ALIGNMENT_ON_DEVICES = 4


class _Program(NamedTuple):
    """A step of one shape: what it reads, what the workers exchange, and its two halves."""

    packed: Tensor
    gradient: StepGradient
    forward_backward: Launch
    update: Launch


class Stepper:
    """Takes optimizer steps on one worker's replica of the model.

    On a CPU a step reads its batch where it is. On a device each shape has memory of its own, into
    which one copy puts the batch, and the learning rate is a number of the device as well.

    Args:
        model: its parameters get gradients, and must stay where they are.
        optimizer: over the model's parameters; a checkpoint has been loaded into it.
        config: clip policy, precision, shards.
        group: the workers.
        average: follows the weights.
        graphs: captures the two halves of a step; default: they run as they are.
        is_static: whether a step works as on a device; default: by the group's device.
    """

    def __init__(
        self,
        model: RecurrentClassifier,
        optimizer: torch.optim.Optimizer,
        config: TrainingConfig,
        *,
        group: WorkerGroup,
        average: WeightAverage | None = None,
        graphs: Graphs | None = None,
        is_static: bool | None = None,
    ):
        self._model = model
        self._optimizer = optimizer
        self._config = config
        self._average = average
        self._group = group
        self._norm_type = norm_order(config.clip)
        self._num_shards = config.reduction_shards
        self._label_smoothing = config.label_smoothing
        self._adversary = (
            None
            if config.adversarial is None
            else Adversary(model.body, config.adversarial, self._loss)
        )
        self._is_random = model.has_dropout or (
            self._adversary is not None and self._adversary.draws
        )
        self._autocast = uses_bfloat16(config, group.device)
        self._channel = model.ngrams
        self._tables = [model.embedding.weight]
        if model.ngrams is not None:
            self._tables.append(model.ngrams.weight)
        self._is_static = group.device.type != "cpu" if is_static is None else is_static
        self._graphs = graphs or Graphs(None, RunEvents())
        self._programs: dict[Shape, _Program] = {}
        self._generator = _generator(group.device)
        self._result = torch.zeros(NUM_COUNTERS + 2, device=group.device)
        self._rates: list[float] = []
        self.begin_epoch(1)

    def begin_epoch(self, epoch: int) -> None:
        """Lets each layer learn as fast as it does in an epoch, from 1: that of the next steps.

        Layers that do not learn have no gradient, and are neither exchanged nor in its norm; the
        optimizer does not know of them, so that its moments begin when they do.
        """
        groups = self._optimizer.param_groups
        rates = layer_rates(self._config, num_layers=len(groups), epoch=epoch)
        if rates != self._rates:
            self._rates = rates
            self._learn(
                [
                    parameter
                    for group, rate in zip(groups, rates, strict=True)
                    if rate > 0
                    for parameter in group["params"]
                ]
            )

    def _learn(self, parameters: Sequence[Tensor]) -> None:
        """Makes room for the gradients of some parameters, and forgets the programs of others."""
        for parameter in self._model.parameters():
            parameter.grad = None
        learning = {id(parameter) for parameter in parameters if parameter.requires_grad}
        self._body = [one for one in self._model.body.parameters() if id(one) in learning]
        # Numbers of the tables that learn.
        self._learning = [n for n, table in enumerate(self._tables) if id(table) in learning]
        tables = [self._tables[number] for number in self._learning]
        self._gradients = GradientBuffer(
            self._body,
            tables,
            max_rows=[FEW.num_ids(len(table)) for table in tables],
            num_counters=NUM_COUNTERS,
            alignment=ALIGNMENT_ON_DEVICES if self._is_static else 1,
        )
        for parameter, gradient in zip(self._body, self._gradients.body, strict=True):
            parameter.grad = gradient
        # The optimizer gets a dense gradient on purpose: a lazy rule would not decay the moments of
        # inactive rows, which is another optimizer.
        for table in tables:
            table.grad = torch.zeros_like(table)
        self._programs.clear()
        self._captured_for = self._conditions()

    def __call__(
        self, batch: StepBatch, *, max_norm: float | None, rate: float, save: bool = False
    ) -> LaunchedStep:
        """Launches one step.

        Args:
            batch: this worker's rows.
            max_norm: clip value; None does not clip.
            rate: learning rate.
            save: whether this worker asks for a checkpoint; only the first worker's request counts,
                and all workers see it in the step's result.
        """
        device = self._group.device
        marks = [mark(device)]
        flat = {}
        for shard in batch.shards:
            shard.inputs.decide(
                rate=rate,
                max_norm=math.inf if max_norm is None else max_norm,
                save=save and self._group.is_first,
            )
            program = self._program(shard, rate)
            if self._is_random:
                self._generator.manual_seed(shard.dropout_seed)
            program.forward_backward()
            if self._num_shards is not None:
                flat[shard.number] = program.gradient.whole.clone()
        marks.append(mark(device))

        whole = program.gradient.whole
        if self._num_shards is None:
            self._group.sum_(whole)
        else:
            whole.copy_(sum_in_order(flat, num_shards=self._num_shards, group=self._group))
        marks.append(mark(device))

        program.update()
        marks.append(mark(device))
        return LaunchedStep(
            self._result,
            marks,
            num_rows=batch.num_rows,
            loss_weight=batch.loss_weight,
            data_s=batch.data_s,
        )

    def _program(self, shard: Shard, rate: float) -> _Program:
        """The step of the shard's shape, with the shard where it reads."""
        if not self._is_static:
            gradient = self._gradient_of(shard.shape)
            halves = self._halves(shard.inputs, gradient, rate)
            return _Program(shard.packed, gradient, *halves)
        if (conditions := self._conditions()) != self._captured_for:
            self._programs.clear()
            self._captured_for = conditions
        program = self._programs.get(shard.shape)
        if program is None:
            program = self._programs[shard.shape] = self._static_program(shard)
        else:
            program.packed.copy_(shard.packed, non_blocking=True)
        return program

    def _static_program(self, shard: Shard) -> _Program:
        packed = shard.packed.to(self._group.device, copy=True, non_blocking=True)
        inputs = shard.shape.views(packed)
        gradient = self._gradient_of(shard.shape)
        forward_backward, update = self._halves(inputs, gradient, inputs.rate)

        def warm_up() -> None:
            forward_backward()
            for part in (*gradient.parts, gradient.counters):
                part.fill_(math.nan)  # so that nothing is updated
            update()

        rows, width, ids = shard.shape[:3]
        halves = self._graphs.captured(
            [forward_backward, update],
            warm_up=warm_up,
            name=f"a step of {rows} rows, {width} positions and {ids} words",
        )
        return _Program(packed, gradient, *halves)

    def _gradient_of(self, shape: Shape) -> StepGradient:
        numbers = (shape.num_ids, shape.num_buckets)
        return self._gradients.of(*(numbers[table] for table in self._learning))

    def _halves(
        self, inputs: Inputs, gradient: StepGradient, rate: float | Tensor
    ) -> tuple[Launch, Launch]:
        return (
            partial(self._forward_backward, inputs, gradient),
            partial(self._update, inputs, gradient, rate),
        )

    def _conditions(self) -> tuple[bool, list[int]]:
        """On what graphs depend: none may have failed, and weights must be where they were."""
        addresses = [parameter.data_ptr() for parameter in (*self._body, *self._tables)]
        return self._graphs.has_failed, addresses

    def _forward_backward(self, inputs: Inputs, gradient: StepGradient) -> None:
        """Writes the shard's part of the gradient, and of the counters; changes nothing else."""
        rows = [active_rows.gather(self._tables[0], inputs.ids)]  # [U, E]
        embedded = active_rows.embed(rows[0], inputs.positions)  # [B, W, E]
        with self._cast():
            parts = [self._model.body(embedded, inputs.lengths).float()]  # [B, C]
        if self._channel is not None:
            rows.append(active_rows.gather(self._channel.weight, inputs.buckets))  # [N, C]
            ratios = self._channel.ratio.index_select(0, inputs.buckets)
            parts.append(self._channel.logits(ratios * rows[1], inputs.ngrams))
        of_parts = [self._loss(part, inputs) for part in parts]
        learned = sum(of_parts[1:], of_parts[0])
        learning = [*self._body, *(rows[table] for table in self._learning)]
        found = self._slopes(learned, learning, embedded, words=rows[0], inputs=inputs)
        with torch.no_grad():
            torch._foreach_copy_(gradient.parts, found)
            logits = pooled(parts)
            loss = of_parts[0] if len(parts) == 1 else self._loss(logits, inputs)
            correct = ((logits.argmax(dim=1) == inputs.labels) * inputs.weights).sum()
            torch.cat([torch.stack([loss, correct]), inputs.counts], out=gradient.counters)

    def _slopes(
        self,
        loss: Tensor,
        learning: Sequence[Tensor],
        embedded: Tensor,
        *,
        words: Tensor,
        inputs: Inputs,
    ) -> tuple[Tensor, ...]:
        """The slopes of the loss, and of that of an adversary, if there is one.

        Args:
            loss: the shard's part.
            learning: what learns.
            embedded: the texts [B, W, E], as the loss depends on them.
            words: the active rows of the embedding.
            inputs: the shard.
        """
        if self._adversary is None:
            return torch.autograd.grad(loss, learning, materialize_grads=True)
        *found, slope = torch.autograd.grad(loss, [*learning, embedded], materialize_grads=True)
        scale = embedding_scale(words, inputs.ids)
        # Once more, as torch has freed what the first slopes have used.
        embedded = active_rows.embed(words, inputs.positions)
        with self._cast():
            second = self._adversary.loss(embedded, inputs, slope=slope, scale=scale)
        more = torch.autograd.grad(second, learning, materialize_grads=True)
        return tuple(torch._foreach_add(found, more))

    def _cast(self) -> torch.autocast:
        """The precision of the body."""
        device_type = self._group.device.type
        return torch.autocast(device_type, dtype=torch.bfloat16, enabled=self._autocast)

    def _loss(self, logits: Tensor, inputs: Inputs) -> Tensor:
        """The shard's part of the loss: summed over all shards, their mean loss."""
        losses = functional.cross_entropy(  # [B]
            logits, inputs.labels, reduction="none", label_smoothing=self._label_smoothing
        )
        return (losses * inputs.loss_weights).sum() / inputs.loss_weight

    @torch.no_grad()
    def _update(self, inputs: Inputs, gradient: StepGradient, rate: float | Tensor) -> None:
        """Clips, updates the weights, and writes the result; a step that is not finite only that.

        Args:
            inputs: the ids and the clip value are read.
            gradient: summed over the workers; is scaled.
            rate: a number of the device is read when the step runs.
        """
        norm = gradient_norm(gradient.parts, norm_type=self._norm_type)
        skipped = (~(gradient.counters[0].isfinite() & norm.isfinite())).float()
        clip_(gradient.parts, norm, max_norm=inputs.max_norm)
        for param_group, share in zip(self._optimizer.param_groups, self._rates, strict=True):
            param_group["lr"] = rate if share == 1.0 else rate * share
        # torch.amp.GradScaler's way to skip a step without asking the device: the fused kernels
        # read this tensor, and where it is 1 they change neither weights nor moments.
        self._optimizer.found_inf = skipped  # type: ignore[attr-defined]
        with contextlib.ExitStack() as stack:
            ids = (inputs.ids, inputs.buckets)
            for found, table in zip(gradient.rows, self._learning, strict=True):
                stack.enter_context(active_rows.scattered(found, self._tables[table], ids[table]))
            self._optimizer.step()
        if self._average is not None:
            self._average.update_(skipped)
        torch.cat([gradient.counters, torch.stack([norm, skipped])], out=self._result)


def _generator(device: torch.device) -> torch.Generator:
    """The generator that dropout on a device draws from.

    Not by ``torch.manual_seed``, which formats the call stack for each kind of device that is not
    there: 0.2 ms and more a step.
    """
    if device.type != "cuda":
        return torch.default_generator
    torch.cuda.init()  # type: ignore[no-untyped-call]
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]
