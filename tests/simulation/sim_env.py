"""The environment of a simulated process: its clock, its chance, its ids. An edge module."""

from __future__ import annotations

import logging
import random

from tests.simulation.world import World


class SimEnv:
    """Implements `actors.ports.Env`."""

    def __init__(self, world: World, log: logging.Logger) -> None:
        self.random = random.Random(world.rng.getrandbits(64))
        self.log = log
        self.latest_us = 0
        """The highest time that this process has ever been told."""
        self._world = world

    def now_us(self) -> int:
        now_us = self._world.wall_us()
        self.latest_us = max(self.latest_us, now_us)
        return now_us

    def new_id(self) -> str:
        number = self.random.getrandbits(128) & ~(0xF << 76) | (4 << 76)
        text = f"{number & ~(0x3 << 62) | (2 << 62):032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
