"""One optimizer step, ours and the textbook way."""

import torch

from rnnlane.config import ExperimentConfig
from rnnlane.data.batches.plan import plan
from rnnlane.data.batches.tensors import BatchMaker
from rnnlane.models.classifier import RecurrentClassifier, build_model
from rnnlane.training.class_weights import class_weights
from rnnlane.training.feed import TrainFeed
from rnnlane.training.group import WorkerGroup
from rnnlane.training.loop import TrainingData
from rnnlane.training.ngram_start import start_as_naive_bayes_
from rnnlane.training.step import Stepper, build_optimizer
from support.runs import ALONE
from support.tiny import VOCABULARY_SIZE, tiny_data, tiny_experiment

CLASS_NAMES = ("even", "odd")
SGD = ("training.optimizer=sgd", "training.learning_rate=1.0", "training.clip.policy=none")


def first_model(config: ExperimentConfig, data: TrainingData) -> RecurrentClassifier:
    model = build_model(config.model, vocabulary_size=VOCABULARY_SIZE, num_classes=2, seed=0)
    if model.ngrams is not None:
        hasher = data.hasher(config.model)
        start_as_naive_bayes_(model.ngrams, data.splits["train"], hasher, group=ALONE)
    return model


def weights_after_one_step(
    group: WorkerGroup, overrides: tuple[str, ...], step: int = 0, *, epoch: int = 1
):
    """With SGD at rate 1 the change of the weights is the gradient."""
    config, data = tiny_experiment(*overrides), tiny_data()
    model = first_model(config, data)
    optimizer = build_optimizer(model, config.training)
    stepper = Stepper(model, optimizer, config.training, group=group)
    feed = TrainFeed(
        data.splits["train"],
        config.training,
        seed=config.seed,
        vocabulary_size=VOCABULARY_SIZE,
        group=group,
        class_weights=class_weights(
            config.training.class_weights, data.splits["train"].class_counts(2), CLASS_NAMES
        ),
        hasher=data.hasher(config.model),
    )
    batch = next(feed.steps(1, start=step))
    stepper.begin_epoch(epoch)
    result = stepper(batch, max_norm=None, rate=1.0).result()
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return weights, result.loss, result.norm, result.correct


def plain_gradient_step(overrides: tuple[str, ...], step: int = 0):
    """The textbook way: one process, the whole batch, autograd through the plain model."""
    config, data = tiny_experiment(*overrides), tiny_data()
    split = data.splits["train"]
    rows = plan(split.labels, split.lengths, global_batch_size=12, seed=0, epoch=1)[step]
    batch = BatchMaker(split, torch.device("cpu"), hasher=data.hasher(config.model))(rows)
    model = first_model(config, data)
    weights = class_weights(config.training.class_weights, split.class_counts(2), CLASS_NAMES)
    mean_loss = torch.nn.CrossEntropyLoss(None if weights is None else torch.from_numpy(weights))
    # The body and the n-grams learn apart.
    sum(mean_loss(part, batch.labels) for part in model.parts(*batch.inputs)).backward()
    loss = mean_loss(model(*batch.inputs), batch.labels)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), float("inf"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(parameter.grad)
    changed = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return changed, loss.item(), norm.item()
