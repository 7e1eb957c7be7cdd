"""Optional features: groups of settings that a flag takes out of a settings class.

A feature is a group with a flag (`feature = "enable_images"`). Where the flag is off, a process has
no settings of the group, so none of them is required or read. Routers, job kinds, hooks and backing
services of the feature exist only where the settings are an instance of its group.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import new_class
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from .base import EnvironmentSettings, SettingsError, load

S = TypeVar("S", bound=EnvironmentSettings)


class FeatureFlags(EnvironmentSettings):
    prefixes: ClassVar[tuple[str, ...]] = ("ENABLE_",)

    enable_caching: bool = Field(True, description="Caches reads in Redis.")
    enable_analytics: bool = Field(True, description="Serves /api/v1/analytics.")
    enable_images: bool = Field(
        True, description="Images and avatars: their routes, jobs and bucket."
    )


class AnalyticsSettings(EnvironmentSettings):
    """The feature that counts accounts and their activity by day. It has no settings of its own."""

    feature: ClassVar[str | None] = "enable_analytics"


def combine(settings_class: type[S], groups: Iterable[type[EnvironmentSettings]]) -> type[S]:
    """Return the class with those of the groups that it lacks."""
    further = [group for group in dict.fromkeys(groups) if not issubclass(settings_class, group)]
    if not further:
        return settings_class
    return _derive(settings_class, (settings_class, *further))


def without_disabled(settings_class: type[S], **overrides: Any) -> type[S]:
    """Return the class without the groups whose flag is off in the environment or in `overrides`.

    It is no subclass of `settings_class` then, but of its other bases: a composition root declares
    those, and asks by `isinstance` for the rest.

    Raises TypeError where a class with fields of its own inherits such a group: list both in the
    bases of a class without fields instead.
    """
    try:
        flags = load(FeatureFlags, **overrides)
    except SettingsError:
        return settings_class  # loading this class reports the problem
    return _reduce(settings_class, flags)


def _reduce(settings_class: type[EnvironmentSettings], flags: FeatureFlags) -> type[Any]:
    if not any(_is_off(group, flags) for group in settings_class.__mro__):
        return settings_class
    if vars(settings_class).get("__annotations__"):
        raise TypeError(f"{settings_class.__name__} has fields of its own beside a feature's")
    kept = (_reduce(base, flags) for base in settings_class.__bases__ if not _is_off(base, flags))
    reduced = _derive(settings_class, tuple(kept))
    left_out = settings_class.model_fields.keys() - reduced.model_fields.keys()
    reduced.left_out = frozenset(name.upper() for name in left_out)
    return reduced


def _is_off(group: type, flags: FeatureFlags) -> bool:
    feature = vars(group).get("feature")
    return feature is not None and not getattr(flags, feature)


def _derive(settings_class: type[Any], bases: tuple[type, ...]) -> type[Any]:
    names = {"__module__": settings_class.__module__, "__doc__": settings_class.__doc__}
    return new_class(settings_class.__name__, bases, exec_body=lambda body: body.update(names))
