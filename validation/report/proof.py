"""What a validation proved, in sentences: no more than was compared."""

import math
from collections.abc import Sequence

from bitsr.validation.report.scores import agreement, decibels, mean_difference, signed
from bitsr.validation.results import Results, Run


def heading(results: Results) -> str:
    """The verdict in a word or two."""
    if not results.passed:
        return "Failed"
    return "Ops passed" if all(run.verdict == "ops pass" for run in results.runs) else "Passed"


def proved(results: Results) -> list[str]:
    """A sentence for each kind of comparison that was made and did not fail."""
    if not results.passed:
        return []
    return [text for text in (_ops(results.runs), _pictures(results), _steps(results)) if text]


def _ops(runs: Sequence[Run]) -> str:
    checks = [op for run in runs for op in run.ops]
    if not checks:
        return ""
    return f"Op by op, with inputs recorded from PyTorch: all {len(checks):,} checks agree bit for bit."


def _pictures(results: Results) -> str:
    pictures = [picture for run in results.runs for picture in run.pictures]
    if not pictures:
        return "" if any(run.steps for run in results.runs) else "No picture was compared: name some with --images."
    if all(math.isinf(picture.agreement) for picture in pictures):
        return f"Whole pictures: all {len(pictures)} are identical to PyTorch's."
    worst = min(pictures, key=lambda picture: picture.agreement)
    moved = max((abs(mean_difference(run.pictures) or 0.0) for run in results.runs), default=0.0)
    return (
        f"Whole pictures: they agree with PyTorch's to {decibels(worst.agreement)} or more; up to "
        f"{100 * max(picture.differing for picture in pictures):.2g} % of the pixels differ, by at most "
        f"{max(picture.largest for picture in pictures)} of 255, and PSNR against the originals moves by "
        f"{signed(moved).lstrip('+')} at most."
    )


def _steps(results: Results) -> str:
    steps = [step for run in results.runs for step in run.steps]
    return f"Steps of a sampling: they agree with PyTorch's, {agreement(steps)}." if steps else ""
