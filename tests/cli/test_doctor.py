"""`bitsr doctor`: the versions that were tested against those that are there."""

import pytest

from bitsr.cli import main, stacks
from bitsr.common.extras import EXTRAS


def test_every_extra_is_listed_with_tested_and_found_versions() -> None:
    found = {package.name: package for package in stacks.packages()}
    assert {package.extra for package in found.values()} == set(stacks.PURPOSES)
    assert set(EXTRAS) < set(stacks.PURPOSES)
    assert all(package.tested for package in found.values())
    numpy = found["numpy"]
    assert (numpy.extra, numpy.found is not None) == ("", True)


def test_other_and_missing_versions_are_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    versions = {"executorch": "9.9.9", "lightning": None}
    monkeypatch.setattr(stacks, "package_version", lambda name: versions.get(name, "1.0"))
    found = {package.name: package for package in stacks.packages()}
    assert found["executorch"].remark == "not the tested one"
    assert found["lightning"].remark == "missing"
    assert main(["doctor"]) == 0
    text = capfd.readouterr().out
    assert "missing for training: lightning; pip install" in text
    assert "9.9.9" in text


def test_a_wheel_knows_what_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "checkout", lambda: None)
    monkeypatch.setattr(stacks, "requires", lambda _: ["torch>=2.13; extra == 'train'", "a-b (>=1)", "c[d]==2; x > 1"])
    monkeypatch.setattr(stacks, "package_version", lambda _: "3.0")
    found = {package.name: (package.extra, package.tested, package.remark) for package in stacks.packages()}
    assert found["torch"] == ("train", ">=2.13", "")
    assert found["c"] == ("", "2", "not the tested one")
