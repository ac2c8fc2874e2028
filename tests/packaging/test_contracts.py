"""The import contracts of pyproject.toml cover the product as it is."""

from __future__ import annotations

import tomllib

from tests.packaging.checkout import ROOT

_CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
_PARTS = {
    f"triage_tui.{entry.stem}"
    for entry in (ROOT / "triage_tui").iterdir()
    if not entry.name.startswith("_") and (entry.suffix == ".py" or (entry / "__init__.py").exists())
}


def test_every_part_has_its_layer() -> None:
    [layers] = [contract["layers"] for contract in _CONTRACTS if contract["id"] == "layers"]
    placed = {name.strip() for layer in layers for name in layer.replace("|", ":").split(":")}
    assert placed == _PARTS


def test_textual_is_kept_from_every_part_but_the_app() -> None:
    [kept_from] = [contract["source_modules"] for contract in _CONTRACTS if contract["id"] == "textual-in-ui"]
    assert set(kept_from) == _PARTS - {"triage_tui.ui"}
