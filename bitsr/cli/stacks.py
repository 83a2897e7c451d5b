"""The packages of bitsr and of its extras: tested versions against those that are found."""

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires

from bitsr.common.installation import checkout
from bitsr.common.versions import package_version

# What each extra is for, in the order in which a user meets them; "" are the packages that bitsr always needs.
PURPOSES = {
    "": "upscaling with an artifact that is made of our ops",
    "litert": "upscaling with any .tflite",
    "executorch": "upscaling with any .pte",
    "export": "export to .pte and .tflite",
    "train": "training",
    "diffusion": "sampling with a diffusion model",
    "report": "`bitsr validate` and `bitsr demo`",
    "lpips": "`bitsr evaluate --lpips`",
}
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[[\w,-]+\])?(?P<versions>[^;]*)(?:;.*extra == ['\"](?P<extra>[\w-]+))?"
)


@dataclass(frozen=True)
class Package:
    """A package of an extra ("" for one that is always needed): the tested version, or what is asked for, and ours."""

    name: str
    extra: str
    tested: str
    found: str | None

    @property
    def remark(self) -> str:
        """What the versions mean."""
        if self.found is None:
            return "missing"
        exact = re.fullmatch(r"[\d.]+\w*", self.tested)
        return "not the tested one" if exact and self.found.partition("+")[0] != self.tested else ""


def packages() -> list[Package]:
    """Every package that bitsr or an extra of :data:`PURPOSES` names, once.

    In a checkout the tested version is the pinned one (requirements.lock); an installed wheel knows what it asks for.
    """
    pins = _pins()
    found: dict[str, Package] = {}
    for extra, name, versions in _requirements():
        if extra in PURPOSES and name != "bitsr" and name not in found:
            tested = pins.get(_normal(name), versions.removeprefix("=="))
            found[name] = Package(name, extra, tested, package_version(name))
    return sorted(found.values(), key=lambda package: list(PURPOSES).index(package.extra))


def _requirements() -> list[tuple[str, str, str]]:
    """(extra, name, versions) of the installed metadata."""
    try:
        lines = requires("bitsr") or []
    except PackageNotFoundError:  # a source tree that was never installed
        return []
    matches = [match for line in lines if (match := _REQUIREMENT.match(line))]
    return [(match["extra"] or "", match["name"], match["versions"].strip()) for match in matches]


def _pins() -> dict[str, str]:
    root = checkout()
    path = None if root is None else root / "requirements.lock"
    if path is None or not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("==") for line in lines if not line.startswith("#"))
    return {_normal(name): version.partition(" ")[0] for name, found, version in pairs if found}


def _normal(name: str) -> str:
    """Package indexes take these characters for the same."""
    return re.sub(r"[-_.]+", "-", name).lower()
