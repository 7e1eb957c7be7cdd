"""Reads settings and checks them by class of environment: the only reader of os.environ.

`load` names every missing, unsafe and unknown variable at once. The groups of names themselves
are in `groups`.
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
_MIN_DISTINCT = 8  # different characters in a secret; `aaaa…` has one
# Names of other people's that begin like ours.
_FOREIGN_NAMES = frozenset({"HTTP_PROXY"})
_MIN_COMPARED = 6  # letters of a name below which likeness says nothing: PORT, DEBUG
_PLACEHOLDERS = ("changeme", "change-me", "secret", "password", "placeholder", "example", "default")


class Environment(StrEnum):
    """The class of environment; it decides which checks apply."""

    DEVELOPMENT = "development"
    TESTING = "testing"
    STAGING = "staging"
    PRODUCTION = "production"

    @property
    def is_deployed(self) -> bool:
        return self in (Environment.STAGING, Environment.PRODUCTION)


def process_environment() -> dict[str, str]:
    """A copy of this process's environment, for composing that of a child process."""
    return dict(os.environ)


def choose_semantic_conventions() -> None:
    """Makes OpenTelemetry's instrumentations use the stable names, which they read from here only.

    To be called before they are set up; what the user has chosen stays.
    """
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")


def deployed(info: ValidationInfo) -> bool:
    # Where ENVIRONMENT itself is invalid, check as strictly as in production.
    environment = info.data.get("environment", Environment.PRODUCTION)
    return bool(environment.is_deployed)


def _strong_secret(value: SecretStr, info: ValidationInfo) -> SecretStr:
    secret = value.get_secret_value()
    if not secret:
        raise ValueError("is empty")
    if deployed(info):
        if len(secret) < MIN_SECRET_LENGTH:
            raise ValueError(f"is shorter than {MIN_SECRET_LENGTH} characters")
        lowered = secret.lower()
        if any(word in lowered for word in _PLACEHOLDERS) or len(set(secret)) < _MIN_DISTINCT:
            raise ValueError("looks like a placeholder, not like a random secret")
    return value


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


# A secret of our own making: long and random outside development and testing.
StrongSecret = Annotated[SecretStr, AfterValidator(_strong_secret)]
# Several valid at a time (`new,old`), so that one can be rotated without a pause.
StrongSecrets = Annotated[list[StrongSecret], NoDecode, BeforeValidator(_split)]
CommaList = Annotated[list[str], NoDecode, BeforeValidator(_split)]


def _content(path: str) -> str:
    return Path(path).read_text(encoding="utf-8").strip()


class _FileSource(PydanticBaseSettingsSource):
    """`NAME_FILE` names a file that holds NAME: how platforms mount secrets."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{field_name.upper()}_FILE")
        if path is None:
            return None, field_name, False
        try:
            return _content(path), field_name, False
        except (OSError, UnicodeDecodeError):
            return None, field_name, False  # `load` names the file

    def __call__(self) -> dict[str, Any]:
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value is not None}


class EnvironmentSettings(BaseSettings):
    """What every process has. The first group, since the checks of the others depend on it."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", hide_input_in_errors=True, frozen=True
    )
    prefixes: ClassVar[tuple[str, ...]] = ()

    environment: Environment = Field(
        Environment.PRODUCTION,
        description="Class of environment. Without it the strictest checks apply.",
    )
    debug: bool = Field(False, description="Verbose errors in logs; refused when deployed.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: colours on a terminal, JSON otherwise."
    )
    service_version: str = Field("dev", description="Version of the release, in logs and spans.")
    instance_id: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        description="Names this process; default: host and process id.",
    )

    @field_validator("debug")
    @classmethod
    def _no_debug_when_deployed(cls, value: bool, info: ValidationInfo) -> bool:
        if value and deployed(info):
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
    """One variable at fault and why; never its value."""

    name: str
    detail: str

    def __str__(self) -> str:
        return f"{self.name} {self.detail}"


class SettingsError(Exception):
    """Every problem of the environment, together."""

    def __init__(self, problems: list[SettingProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


S = TypeVar("S", bound=EnvironmentSettings)


def load(settings_class: type[S], **chosen: Any) -> S:
    """Reads and checks `settings_class`; `chosen` fields take precedence over the environment.

    Raises SettingsError naming every problem at once.
    """
    problems: list[SettingProblem] = []
    settings: S | None = None
    try:
        settings = settings_class(**chosen)
    except ValidationError as error:
        problems += [_problem(detail) for detail in error.errors(include_input=False)]
    except pydantic_settings.SettingsError as error:
        problems.append(SettingProblem("environment", str(error)))
    unreadable = _unreadable_files(settings_class)
    explained = {problem.name.removesuffix("_FILE") for problem in unreadable}
    problems = [problem for problem in problems if problem.name not in explained]
    problems += unreadable + unknown_names(settings_class)
    if problems or settings is None:
        raise SettingsError(problems)
    return settings


def _problem(detail: Any) -> SettingProblem:
    name = ".".join(str(part) for part in detail["loc"][:1]).upper() or "environment"
    if detail["type"] == "missing":
        return SettingProblem(name, f"is missing (or give {name}_FILE)")
    return SettingProblem(name, detail["msg"].removeprefix("Value error, "))


def _unreadable_files(settings_class: type[EnvironmentSettings]) -> list[SettingProblem]:
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


def unknown_names(settings_class: type[EnvironmentSettings]) -> list[SettingProblem]:
    """Variables that nothing reads, under our own prefixes or misspelt, with the nearest known name.

    pydantic-settings ignores unknown variables even with extra="forbid", so that a misspelt
    name would silently leave its default in force.
    """
    known = {name.upper() for name in settings_class.model_fields}
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
        elif near := _misspelt(name, known):
            if name in _names_of_all():
                continue  # another service's
        else:
            continue
        hint = f"; did you mean {near[0]}?" if near else ""
        problems.append(SettingProblem(name, f"is not a setting of this service{hint}"))
    return problems


def _misspelt(name: str, known: set[str]) -> list[str]:
    """The known name that `name` is but for a slip of the keyboard; it begins like it."""
    return [
        other
        for other in sorted(known)
        if len(other) >= _MIN_COMPARED and name[:1] == other[:1] and _is_slip(name, other)
    ][:1]


def _is_slip(name: str, other: str) -> bool:
    """Whether one letter is missing, too many, another, or has changed places with the next."""
    short, long = sorted((name, other), key=len)
    if len(long) - len(short) > 1:
        return False
    start = next(
        (at for at, pair in enumerate(zip(short, long, strict=False)) if pair[0] != pair[1]),
        len(short),
    )
    rest, other_rest = short[start:], long[start:]
    if len(short) < len(long):
        return rest == other_rest[1:]
    return rest[1:] == other_rest[1:] or (
        rest[:2] == other_rest[1::-1] and rest[2:] == other_rest[2:]
    )


def _names_of_all() -> set[str]:
    """Of every group and service that this process has loaded."""
    found: set[str] = set()
    waiting: list[type[EnvironmentSettings]] = [EnvironmentSettings]
    while waiting:
        group = waiting.pop()
        found |= {name.upper() for name in group.model_fields}
        waiting += group.__subclasses__()
    return found | {f"{name}_FILE" for name in found}
