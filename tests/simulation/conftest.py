"""What the simulated tests share."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture
def quiet_logs(pytestconfig: pytest.Config) -> Iterator[None]:
    """Only `pytest -s` shows what engines and workers say: writing it down takes as long as the rest."""
    before = structlog.get_config()
    if pytestconfig.option.capture != "no":
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        logging.disable()
    yield
    logging.disable(logging.NOTSET)
    structlog.configure(**before)
