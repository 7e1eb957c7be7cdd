"""Reading and checking settings: the only module that reads os.environ.

`load` reports every missing, unsafe and unknown variable at once. `groups` defines the variables.
"""

from __future__ import annotations

import difflib
import os
import socket
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import pydantic_settings
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

MIN_SECRET_LENGTH = 32
_MIN_DISTINCT_CHARACTERS = 8  # in a secret; `aaaa…` has one
# Common variables whose names begin with a prefix of Twelvefold.
_FOREIGN_NAMES = frozenset({"HTTP_PROXY"})
_MIN_COMPARED_LENGTH = 6  # shorter names (PORT, DEBUG) resemble too many others
_PLACEHOLDERS = ("changeme", "change-me", "secret", "password", "placeholder", "example", "default")


class Environment(StrEnum):
    """The class of environment, which decides the checks that apply."""

    DEVELOPMENT = "development"
    TESTING = "testing"
    STAGING = "staging"
    PRODUCTION = "production"

    @property
    def is_deployed(self) -> bool:
        return self in (Environment.STAGING, Environment.PRODUCTION)


def process_environment() -> dict[str, str]:
    """Return a copy of the environment, as the base of a child process's environment."""
    return dict(os.environ)


def choose_semantic_conventions() -> None:
    """Select the stable semantic conventions, unless the user has chosen others.

    OpenTelemetry's instrumentations read them from the environment only, when they are set up.
    """
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")


def is_deployed(info: ValidationInfo) -> bool:
    """Return whether the settings being validated are for staging or production."""
    # If ENVIRONMENT itself is invalid, the checks of production apply.
    environment = info.data.get("environment", Environment.PRODUCTION)
    return bool(environment.is_deployed)


def _require_strong_secret(value: SecretStr, info: ValidationInfo) -> SecretStr:
    secret = value.get_secret_value()
    if not secret:
        raise ValueError("is empty")
    if is_deployed(info):
        if len(secret) < MIN_SECRET_LENGTH:
            raise ValueError(f"is shorter than {MIN_SECRET_LENGTH} characters")
        lowered = secret.lower()
        if (
            any(word in lowered for word in _PLACEHOLDERS)
            or len(set(secret)) < _MIN_DISTINCT_CHARACTERS
        ):
            raise ValueError("looks like a placeholder, not a random secret")
    return value


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


# A generated secret: long and random outside development and testing.
StrongSecret = Annotated[SecretStr, AfterValidator(_require_strong_secret)]
# Several secrets are valid at once (`new,old`), so that one can be rotated without an outage.
StrongSecrets = Annotated[list[StrongSecret], NoDecode, BeforeValidator(_split)]
CommaList = Annotated[list[str], NoDecode, BeforeValidator(_split)]


def _content(path: str) -> str:
    return Path(path).read_text(encoding="utf-8").strip()


class _FileSource(PydanticBaseSettingsSource):
    """Reads NAME from the file that NAME_FILE names, as platforms mount secrets."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{field_name.upper()}_FILE")
        if path is None:
            return None, field_name, False
        try:
            return _content(path), field_name, False
        except (OSError, UnicodeDecodeError):
            return None, field_name, False  # `load` reports the file

    def __call__(self) -> dict[str, Any]:
        values = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in values.items() if value is not None}


class EnvironmentSettings(BaseSettings):
    """Settings of every process. Validated first, because other checks depend on them."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", hide_input_in_errors=True, frozen=True
    )
    prefixes: ClassVar[tuple[str, ...]] = ()
    # The flag of `FeatureFlags` without which a process has no settings of this group.
    feature: ClassVar[str | None] = None
    # Names that a feature which is off would read: they may stay in the environment.
    left_out: ClassVar[frozenset[str]] = frozenset()

    environment: Environment = Field(
        Environment.PRODUCTION,
        description="Class of environment; `production` has the strictest checks.",
    )
    debug: bool = Field(
        False, description="Verbose errors in logs. Refused in staging and production."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Minimum level of log lines."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto` means `console` on a terminal and `json` otherwise."
    )
    suite_name: str = Field(
        "Twelvefold",
        max_length=60,
        pattern="^[A-Za-z0-9]+(?:[ &+-]{1,3}[A-Za-z0-9]+)*$",
        description="Name that clients read, in titles, emails and the realm of a 401.",
    )
    service_version: str = Field(
        "dev", description="Version of the release, shown in spans, metrics and /info."
    )
    instance_id: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        description="Name of this process in spans. Default: host name and process id.",
    )

    @field_validator("debug")
    @classmethod
    def _refuse_debug_when_deployed(cls, value: bool, info: ValidationInfo) -> bool:
        if value and is_deployed(info):
            raise ValueError("must be off in staging and production")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _FileSource(settings_cls), file_secret_settings


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """One invalid variable and the reason, never its value."""

    name: str
    detail: str
    is_missing: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.detail}"


class SettingsError(Exception):
    """All problems of the environment."""

    def __init__(self, problems: list[SettingProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


S = TypeVar("S", bound=EnvironmentSettings)


def load(settings_class: type[S], **overrides: Any) -> S:
    """Read and check settings; `overrides` take precedence over the environment.

    Raises SettingsError with every problem.
    """
    problems: list[SettingProblem] = []
    settings: S | None = None
    try:
        settings = settings_class(**overrides)
    except ValidationError as error:
        problems += [_problem(detail) for detail in error.errors(include_input=False)]
    except pydantic_settings.SettingsError as error:
        problems.append(SettingProblem("environment", str(error)))
    unreadable = _find_unreadable_files(settings_class)
    reported = {problem.name.removesuffix("_FILE") for problem in unreadable}
    problems = [problem for problem in problems if problem.name not in reported]
    problems += unreadable + find_unknown_names(settings_class)
    if problems or settings is None:
        raise SettingsError(problems)
    return settings


def _problem(detail: Any) -> SettingProblem:
    name = ".".join(str(part) for part in detail["loc"][:1]).upper() or "environment"
    if detail["type"] == "missing":
        return SettingProblem(name, f"is missing (or give {name}_FILE)", is_missing=True)
    return SettingProblem(name, detail["msg"].removeprefix("Value error, "))


def _find_unreadable_files(settings_class: type[EnvironmentSettings]) -> list[SettingProblem]:
    problems = []
    for name in (f"{field.upper()}_FILE" for field in settings_class.model_fields):
        path = os.environ.get(name)
        try:
            _ = path is None or _content(path)
        except OSError as error:
            reason = error.strerror or "not readable"
            problems.append(SettingProblem(name, f"names {path}: {reason}"))
        except UnicodeDecodeError:
            problems.append(SettingProblem(name, f"names {path}: not UTF-8"))
    return problems


def find_unknown_names(settings_class: type[EnvironmentSettings]) -> list[SettingProblem]:
    """Return variables that nothing reads: with a known prefix, or misspelt.

    pydantic-settings ignores unknown variables even with extra="forbid", so a misspelt name would
    silently leave the default in force. The detail suggests the nearest known name.
    """
    known = {name.upper() for name in settings_class.model_fields}
    known |= settings_class.left_out
    known |= {f"{name}_FILE" for name in known}
    prefixes = {
        prefix for group in settings_class.__mro__ for prefix in vars(group).get("prefixes", ())
    }
    problems = []
    for name in sorted(os.environ):
        if name in known or name in _FOREIGN_NAMES:
            continue
        if prefixes and name.startswith(tuple(prefixes)):
            near = difflib.get_close_matches(name, known, n=1)
        elif near := _find_misspelt(name, known):
            if name in _all_known_names():
                continue  # a setting of another service
        else:
            continue
        hint = f"; did you mean {near[0]}?" if near else ""
        problems.append(SettingProblem(name, f"is not a setting of this service{hint}"))
    return problems


def _find_misspelt(name: str, known: set[str]) -> list[str]:
    """Return a known name with the same first letter that differs by one typing error."""
    return [
        other
        for other in sorted(known)
        if len(other) >= _MIN_COMPARED_LENGTH and name[:1] == other[:1] and _is_typo(name, other)
    ][:1]


def _is_typo(name: str, other: str) -> bool:
    """Return whether one letter is missing, added, replaced, or swapped with the next."""
    short, long = sorted((name, other), key=len)
    if len(long) - len(short) > 1:
        return False
    start = next(
        (index for index, pair in enumerate(zip(short, long, strict=False)) if pair[0] != pair[1]),
        len(short),
    )
    rest, other_rest = short[start:], long[start:]
    if len(short) < len(long):
        return rest == other_rest[1:]
    return rest[1:] == other_rest[1:] or (
        rest[:2] == other_rest[1::-1] and rest[2:] == other_rest[2:]
    )


def _all_known_names() -> set[str]:
    """Return the names of every group and service that this process has loaded."""
    names: set[str] = set()
    pending: list[type[EnvironmentSettings]] = [EnvironmentSettings]
    while pending:
        group = pending.pop()
        names |= {name.upper() for name in group.model_fields}
        pending += group.__subclasses__()
    return names | {f"{name}_FILE" for name in names}
