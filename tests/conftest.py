"""A test that takes a `seed` runs once for each of `--seeds` seeds: the one that failed is in the test's name."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=20, metavar="N", help="how many seeds a simulated test runs with")
    parser.addoption("--only", default="", metavar="FIELD", help="play only this field of a row of the crash matrix")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames and not _names_its_seeds(metafunc):
        seeds: int = metafunc.config.option.seeds
        metafunc.parametrize("seed", range(seeds))


def _names_its_seeds(metafunc: pytest.Metafunc) -> bool:
    return any("seed" in str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))
