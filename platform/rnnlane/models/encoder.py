"""The interface of an encoder: embedded tokens in, one vector per position and per row out."""

from __future__ import annotations

import abc
import pkgutil

from torch import Tensor, nn

from rnnlane.config.encoders import ENCODERS
from rnnlane.config.model import ModelConfig


class Encoder(nn.Module, abc.ABC):
    """Base class of the encoders in :data:`rnnlane.config.encoders.ENCODERS`.

    A subclass is constructed with a ModelConfig alone. What it returns for a row must depend on
    that row's real positions only: neither on the padding nor on the other rows of the batch. The
    training loop copies encoders with ``copy.deepcopy`` and moves them with ``to``; an encoder
    must itself restore what those do not keep.

    Attributes:
        output_size: F, the features of an output position and of the final state.
    """

    output_size: int

    @abc.abstractmethod
    def forward(self, embedded: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes every row.

        Args:
            embedded: float [B, T, E], padded on the right.
            lengths: int64 [B], each in [1, T]; on the device of ``embedded``. To read them on the
                host would wait for a GPU.

        Returns:
            The outputs, float [B, T, F], undefined beyond a row's length; and the final state,
            float [B, F].
        """

    def layers(self) -> list[list[nn.Parameter]]:
        """The weights of each layer, from the first one up; by default all are of one layer."""
        return [list(self.parameters())]


def build_encoder(config: ModelConfig) -> Encoder:
    """The encoder registered for ``config.cell``, with new weights."""
    encoder: Encoder = pkgutil.resolve_name(ENCODERS[config.cell])(config)
    return encoder
