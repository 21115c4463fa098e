"""The real SDK manages the instances of one app through the server of another one."""

from __future__ import annotations

import pytest

from tests.sdk.processes import Place, free_ports
from tests.sdk.sdks import PYTHON_1_19


@pytest.mark.xdist_group("dapr-1.19")
def test_each_method_reaches_the_app_that_is_named(place: Place) -> None:
    bank_ports, shop_ports = free_ports(), free_ports()
    bank = place.serve(bank_ports, "--app-id", "bank")
    PYTHON_1_19.work(place, bank_ports)
    shop = place.serve(shop_ports, "--app-id", "shop")
    driver = PYTHON_1_19.drive(place, shop_ports, "-")
    assert place.ask(driver, "manage", "bank") == [
        *[None, "SUSPENDED", "RUNNING", "COMPLETED"],
        *["TERMINATED", None, []],
        *["NOT_FOUND", "UNKNOWN"],
    ]
    driver.close()
    place.ended_well(shop)
    place.ended_well(bank)
