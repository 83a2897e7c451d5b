"""``bitsr convert``: rewrite a .tflite, compare it with what it was, write it."""

from dataclasses import dataclass
from pathlib import Path

import torch

from bitsr.common.errors import ArtifactError, UsageError
from bitsr.common.files import atomic_write
from bitsr.export.errors import ExportError
from bitsr.export.tflite.rewrite import Rewritten, rewrite
from bitsr.export.verification import LEAST_AGREEMENT_DB, Verification, agreement
from bitsr.runtime.litert import TfliteNetwork

# Size of the picture of the comparison where the model leaves it open.
_HEIGHT, _WIDTH = 27, 37


@dataclass(frozen=True)
class Conversion:
    """What became of the convolutions, the original's bytes, and how the result agrees with it."""

    rewritten: Rewritten
    bytes_before: int
    verification: Verification


def convert(source: Path, target: Path, *, overwrite: bool = False) -> Conversion:
    """Rewrite ``source``, whose one input and one output are (1, H, W, C), to ``target``.

    Raises:
        UsageError: ``source`` is missing, or ``target`` exists or is the source.
        ArtifactError: ``source`` is no .tflite, or broken.
        ExportError: nothing can be rewritten, or the result does not compute what the original does.
        BitsrError: the original or the result can not be run.
    """
    if not source.is_file():
        raise UsageError(f"there is no file {source}; name a .tflite")
    if target.exists() and target.samefile(source):
        raise UsageError(f"{target} is the input; choose another output")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists; choose another name, or overwrite it (--overwrite)")
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {source}: {error.strerror or error}; name a .tflite") from error
    rewritten = rewrite(content, name=str(source))
    original = TfliteNetwork(content, name=str(source), delegate=False)
    height, width = (open_ if side < 1 else side for side, open_ in zip(original.size, (_HEIGHT, _WIDTH), strict=True))
    x = torch.rand(1, original.channels, height, width, generator=torch.Generator().manual_seed(0))
    psnr, difference = agreement(TfliteNetwork(rewritten.content, name=str(target)).run(x), original.run(x))
    if not psnr >= LEAST_AGREEMENT_DB:
        raise ExportError(
            f"the rewritten {source} does not compute what the original does: they agree to {psnr:.1f} dB, expected "
            f"at least {LEAST_AGREEMENT_DB:.0f}; nothing was written; SIGN of an exact 0 is +1 in our kernels"
        )
    with atomic_write(target) as temporary:
        temporary.write_bytes(rewritten.content)
    return Conversion(rewritten, len(content), Verification(psnr, difference))
