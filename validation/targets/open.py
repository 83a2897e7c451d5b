"""From the names of ``--on`` to targets."""

from bitsr.common.errors import UsageError
from bitsr.validation.targets.base import Target


def expand(names: str) -> list[str]:
    """ "host,qemu" -> ["host", "qemu:cortex-a53", "qemu:cortex-a76"].

    Raises:
        UsageError: a name that is no target, or one that is given twice.
    """
    from bitsr.validation.targets import unidbg
    from bitsr.validation.targets.local import CPUS

    found: list[str] = []
    for name in (part.strip() for part in names.split(",")):
        kind, _, detail = name.partition(":")
        if kind not in ("host", "native", "qemu", "unidbg", "adb") or (kind in ("host", "native") and detail):
            raise UsageError(f"'{name}' is no target; expected host, native, qemu, qemu:CPU, unidbg or adb:SERIAL")
        if kind == "unidbg" and detail and detail not in unidbg.CPUS:
            raise UsageError(f"unidbg has no processor '{detail}'; expected one of {', '.join(unidbg.CPUS)}")
        if kind == "adb" and not detail:
            raise UsageError("the target adb needs a serial number, as in adb:SERIAL; `adb devices` lists them")
        if name == "qemu":
            found += [f"qemu:{cpu}" for cpu in CPUS]
        else:
            found.append(f"unidbg:{unidbg.CPUS[0]}" if name == "unidbg" else name)
    if len(set(found)) != len(found):
        raise UsageError(f"'{names}' names a target twice; name each once")
    return found


def open_target(name: str) -> Target:
    """Open one target of :func:`expand`.

    Raises:
        EnvironmentMissingError: what it needs is not here.
        TargetError: the device does not answer, or can not run our programs.
    """
    kind, _, detail = name.partition(":")
    if kind == "host":
        from bitsr.validation.targets.host import HostTarget

        return HostTarget()
    if kind == "adb":
        from bitsr.validation.targets.adb import AdbTarget

        return AdbTarget(detail)
    if kind == "unidbg":
        from bitsr.validation.targets.unidbg import UnidbgTarget

        return UnidbgTarget(detail)
    from bitsr.validation.targets import local

    return local.native() if kind == "native" else local.qemu(detail)
