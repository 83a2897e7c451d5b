"""Export one model of full size in a process of its own: ``export_one.py ID pte|tflite trained|untrained FOLDER``.

Prints a line of JSON: the figures of the artifact, processor seconds and peak memory of the whole process.
"""

import json
import resource
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from bitsr.export.delegation import OURS
from bitsr.export.export import export_model
from bitsr.training.models import create_model

_STEPS, _SIDE = 4, 16


def main(model_id: str, extension: str, state: str, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = create_model(model_id)
    if state == "trained":
        # A few steps move every learned number off its initial value, which is what makes ties at thresholds rare.
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        side = max(_SIDE, model.fixed_size // 4)
        for _ in range(_STEPS):
            high = F.interpolate(torch.rand(1, 3, 8, 8), size=(side * model.info.scale,) * 2, mode="bicubic").clamp(
                0, 1
            )
            optimizer.zero_grad()
            low = F.avg_pool2d(high, model.info.scale)
            model.train().training_loss(model, low, high, criterion=F.l1_loss).backward()
            optimizer.step()
    file = export_model(model.eval(), output=folder, formats=(extension,)).files[extension]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "bytes": file.path.stat().st_size,
                "ours": file.table.partitions.get(OURS, 0),
                "partitions": sum(file.table.partitions.values()),
                "psnr": None if file.verification is None else round(file.verification.psnr, 1),
                "seconds": round(usage.ru_utime + usage.ru_stime),
                "mebibytes": usage.ru_maxrss >> 10,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:4], Path(sys.argv[4]))
