"""Routers of optional features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter

from twelvefold.settings import EnvironmentSettings


class FeatureRouter(APIRouter):
    """A router that an app has only where its settings include the group of the feature."""

    def __init__(self, settings: type[EnvironmentSettings], **options: Any) -> None:
        super().__init__(**options)
        self.settings = settings


def enabled_routers(routers: Iterable[APIRouter], settings: EnvironmentSettings) -> list[APIRouter]:
    """Return the routers without those of features that are off."""
    return [
        router
        for router in routers
        if not isinstance(router, FeatureRouter) or isinstance(settings, router.settings)
    ]
