"""``bitsr doctor``."""

from bitsr.cli.arguments import Commands
from bitsr.cli.console import closing, line, table
from bitsr.cli.options import example


def register(app: Commands) -> None:
    app.add("doctor", doctor, short_help="Show versions, tools, and what is missing.", epilog=example("bitsr doctor"))


def doctor() -> None:
    """Show versions against the tested ones, tools, the native library and what is missing for which purpose."""
    from bitsr.cli.inspection import inspect
    from bitsr.cli.stacks import PURPOSES, packages
    from bitsr.common.installation import how_to_install

    found = packages()
    table(
        "packages",
        ("", "found", "tested", "", "for"),
        [(row.name, row.found or "", row.tested, row.remark, PURPOSES[row.extra]) for row in found],
        left=5,
    )
    report = inspect()
    for section, rows in report.sections.items():
        table(section, ("", "found", "for"), [(row.name, row.found or "missing", row.purpose) for row in rows], left=3)
    for extra, purpose in PURPOSES.items():
        missing = [row.name for row in found if row.extra == extra and row.found is None]
        if missing:
            line(f"missing for {purpose}: {', '.join(missing)}; {how_to_install(extra or None)}")
    for finding in (row for rows in report.sections.values() for row in rows if row.found is None):
        line(f"missing {finding.name}: {finding.remedy}")
    closing([], then=["bitsr", "upscale", "-i", "photo.jpg", "-o", "photo_x4.png"])
