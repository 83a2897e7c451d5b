"""Self-ensemble: a network sees a picture in its eight orientations, and the results are averaged.

Source: Timofte, Rothe, Van Gool, "Seven ways to improve example-based single image super resolution", CVPR 2016. The
field also calls it test-time augmentation (TTA).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bitsr.inference.session import Session

ORIENTATIONS = 8
# The sum of results and one of them, three float32 channels each.
_BYTES_PER_OUTPUT_PIXEL = 24


class EnsembleSession(Session):
    """A session that runs another one eight times; it owns the other one, and closes it."""

    def __init__(self, session: Session) -> None:
        more = _BYTES_PER_OUTPUT_PIXEL * session.info.scale**2
        super().__init__(replace(session.info, bytes_per_pixel=session.info.bytes_per_pixel + more))
        self._session = session

    def _run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        shape = (*x.shape[:2], x.shape[2] * self.info.scale, x.shape[3] * self.info.scale)
        total = np.zeros(shape, np.float32)
        for turns in range(4):
            turned = np.rot90(x, turns, axes=(2, 3))
            for step in (1, -1):  # as it is, and mirrored
                y = self._session.run(np.ascontiguousarray(turned[..., ::step]))
                total += np.rot90(y[..., ::step], -turns, axes=(2, 3))
        total /= np.float32(ORIENTATIONS)
        return total

    def close(self) -> None:
        """Refuse to run from now on, and close the session within."""
        super().close()
        self._session.close()
