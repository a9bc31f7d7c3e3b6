"""All screens of the console."""

from baton.web.console import (
    accounts,
    audit,
    entrance,
    histories,
    keys,
    live,
    models,
    overview,
    own,
    playground,
    refused,
    requests,
    upstreams,
    usage,
)
from baton.web.console.screen import Screen

SCREENS: tuple[Screen, ...] = (
    *entrance.SCREENS,
    *overview.SCREENS,
    *live.SCREENS,
    *usage.SCREENS,
    *refused.SCREENS,
    *requests.SCREENS,
    *keys.SCREENS,
    *accounts.SCREENS,
    *upstreams.SCREENS,
    *histories.SCREENS,
    *models.SCREENS,
    *audit.SCREENS,
    *playground.SCREENS,
    *own.SCREENS,
)
