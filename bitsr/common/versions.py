"""Versions of installed packages."""

from importlib.metadata import PackageNotFoundError, version


def package_version(name: str) -> str | None:
    """The installed version of a distribution package, ``None`` where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
