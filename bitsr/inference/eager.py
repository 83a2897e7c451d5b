"""The deploy form in PyTorch: the reference that every other runtime is compared with."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bitsr.export.deploy import deploy_form
from bitsr.export.memory import bytes_per_pixel, example_side
from bitsr.inference.session import Session
from bitsr.inference.session_info import SessionInfo
from bitsr.training.models import SuperResolutionModel
from bitsr.training.weights import load_model


class EagerSession(Session):
    """Run a trained model's deploy form in PyTorch, on the sizes that its artifact takes by default."""

    def __init__(self, model: SuperResolutionModel) -> None:
        network = deploy_form(model)
        sizes = model.sizes
        side = example_side(model)
        example = (torch.empty(1, 3, side, side),)
        info = SessionInfo(
            model=model.info.id,
            scale=model.info.scale,
            runtime="eager",
            max_pixels=sizes.max_pixels,
            receptive_field_radius=model.info.receptive_field_radius,
            global_pooling=model.info.global_pooling,
            min_side=sizes.min_side,
            multiple=sizes.multiple,
            fixed_side=sizes.only_side,
            bytes_per_pixel=bytes_per_pixel(network, example, pixels=side**2, eager=True),
        )
        super().__init__(info)
        self._network = network
        self._sizes = sizes

    @classmethod
    def load(cls, id_or_path: str | Path, *, scale: int | None = None) -> "EagerSession":
        """By model id with the embedded weights, or from a weights file; errors as ``training.load_model``."""
        return cls(load_model(id_or_path, scale=scale))

    def _run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        self._sizes.check(height=x.shape[2], width=x.shape[3])
        with torch.inference_mode():
            return np.asarray(self._network(torch.from_numpy(x)).numpy())
