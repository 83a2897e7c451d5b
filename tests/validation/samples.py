"""A made-up outcome with everything that a report can show, for tests that need no network."""

import numpy as np
import torch

from bitsr.validation.parity.pictures import PictureOutput, TestPicture
from bitsr.validation.results import (
    Artifact,
    DeviceFacts,
    Failure,
    FirstDivergence,
    Latency,
    LayerError,
    OpResult,
    OpTime,
    PictureResult,
    Results,
    Run,
    Samples,
    Worst,
)
from bitsr.validation.validate import Outcome

FILE = "net_x2.pte"
TARGETS = ("host", "qemu:cortex-a53")


def _ops(wrong: int) -> list[OpResult]:
    checks = ("accumulators of plane 0", "packed bits", "values")
    ops = []
    for index in range(24):
        for check in checks if index % 3 == 2 else checks[2:]:
            bad = index == wrong
            ops.append(
                OpResult(
                    index=index,
                    kind="binary_conv2d" if index % 3 == 2 else "spatial_gate",
                    module=f"body.{index // 6}.{index % 2}",
                    check=check,
                    elements=5000,
                    wrong=7 if bad else 0,
                    largest_error=2.0 if bad else 0.0,
                    worst=Worst(at=[0, 3, 1, 2], expected=11.0, got=9.0 if bad else 11.0),
                )
            )
    return ops


def _run(target: str, failed: bool) -> Run:
    emulated = target.startswith("qemu")
    samples = tuple(4 + 0.01 * number for number in range(50))
    return Run(
        artifact=FILE,
        target=target,
        emulated=emulated,
        device=DeviceFacts(
            machine="aarch64" if emulated else "x86_64",
            system="Linux",
            processor="<b>Processor & Sons</b>",
            isa=["neon"] if emulated else ["avx2", "avx512"],
            kernel="neon" if emulated else "avx512",
            build="Release gcc 12.2.0",
            versions={"executorch": "1.5.1"},
            notes={"scaling_governor": "schedutil"},
        ),
        failures=[
            Failure(
                tier="op",
                message="op 5 (binary_conv2d, body.0.1), accumulators of plane 0: 7 of 5000 values are wrong",
                seed=0,
                reproduce=f"bitsr validate {FILE} --on {target} --seed 0 --op 5",
            )
        ]
        if failed
        else [],
        ops=_ops(5 if failed else -1),
        pictures=[
            PictureResult(
                name="picture<i>.png",
                low_size=(60, 48),
                parity_psnr=None if emulated else 72.5,
                differing=0.0 if emulated else 0.004,
                largest=0 if emulated else 1,
                eager_psnr=31.25,
                eager_ssim=0.9,
                psnr=31.2501,
                ssim=0.9,
            )
        ],
        first_divergence=FirstDivergence(
            picture="picture<i>.png",
            index=2,
            kind="binary_conv2d",
            module="body.0.0",
            differing=0.01,
            largest_error=1e-6,
            worst=Worst(at=[0, 0, 0, 0], expected=1.0, got=1.000001),
            flipped=12,
            signs=1_000_000,
            first_flip="body.0.1",
        ),
        layers=[
            LayerError(
                index=i, kind="binary_conv2d", module=f"body.{i}", relative_error=0.0 if i < 4 else 10 ** (-8 + i / 6)
            )
            for i in range(24)
        ],
        latency=[]
        if emulated
        else [
            Latency(
                threads=threads,
                input_shape=[1, 3, 128, 128],
                warm_up=10,
                artifact=Samples(
                    load_ms=[30.0, 31.0, 29.0],
                    first_ms=9.0,
                    samples_ms=list(samples),
                    median_ms=4.25 / threads,
                    p90_ms=4.44,
                    min_ms=4.0,
                    peak_rss_bytes=80 << 20,
                ),
                twin=Samples(
                    load_ms=[40.0],
                    first_ms=60.0,
                    samples_ms=[10 * s for s in samples],
                    median_ms=42.5 / threads,
                    p90_ms=44.4,
                    min_ms=40.0,
                    peak_rss_bytes=None,
                ),
            )
            for threads in (1, 2)
        ],
        profile=[] if emulated else [OpTime(name=f"0/{i} binary_conv2d", kind="bitsr", ms=0.1 * i) for i in range(20)],
        notes=["parity only: an emulator's times say nothing of a device's"] if emulated else [],
    )


def outcome(*, failed: bool = False) -> Outcome:
    """Two runs of one artifact on one picture."""
    y, x = np.mgrid[0:96, 0:120]
    waves = np.stack([127 + 90 * np.sin(x / (5 + c)) * np.cos(y / 7) for c in range(3)], axis=-1).astype(np.uint8)
    other = waves.copy()
    other[40:50, 30:60] += 1
    high = torch.from_numpy(waves.copy()).permute(2, 0, 1)[None].float() / 255
    low = high[..., ::2, ::2].contiguous()
    runs = [_run(target, failed and target == "host") for target in TARGETS]
    results = Results(
        date="2026-11-21T12:00:00+00:00",
        command="bitsr validate build/x2 --on host,qemu:cortex-a53",
        seed=0,
        images="pictures",
        limits={"picture_psnr_db": 60.0, "psnr_difference_db": 0.01},
        versions={"bitsr": "0.1.0", "torch": "2.13.0"},
        load_average=0.25,
        artifacts=[
            Artifact(
                file=FILE,
                kind="pte",
                model="net_x2",
                scale=2,
                bytes=484_928,
                float_bytes=5_029_824,
                sha256="a" * 64,
                weights_sha256="b" * 64,
                versions={"torch": "2.13.0"},
            )
        ],
        runs=runs,
    )
    sample = TestPicture("picture<i>.png", low, high, high, 31.25, 0.9)
    pictured = {
        (FILE, run.target): [PictureOutput(run.pictures[0], waves, waves if run.emulated else other)] for run in runs
    }
    return Outcome(results, {FILE: [sample]}, pictured)
