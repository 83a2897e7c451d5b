"""``bitsr doctor``."""

import typer

from bitsr.cli.console import closing, table


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor() -> None:
    """Show versions, tools, the native library and what is missing for which purpose."""
    from bitsr.cli.inspection import inspect

    report = inspect()
    for section, rows in report.sections.items():
        table(section, ("", "found", "for"), [(row.name, row.found or "missing", row.purpose) for row in rows], left=3)
    missing = [row for rows in report.sections.values() for row in rows if row.found is None]
    for row in missing:
        typer.echo(f"missing {row.name}: {row.remedy}")
    closing([], then=["bitsr", "upscale", "-i", "photo.jpg", "-o", "photo_x4.png"])
