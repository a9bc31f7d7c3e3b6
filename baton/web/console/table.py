"""All screens of the console."""

from baton.web.console import entrance, own, playground
from baton.web.console.screen import Screen

SCREENS: tuple[Screen, ...] = (*entrance.SCREENS, *own.SCREENS, *playground.SCREENS)
