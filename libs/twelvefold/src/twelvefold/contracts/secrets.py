"""Secrets in messages between services: hidden in every representation but the one that is sent."""

from typing import Any

from pydantic import BaseModel, SecretStr


def dump_with_secrets(model: BaseModel) -> dict[str, Any]:
    """Return the JSON form of `model` with its secrets readable, for the service that checks them.

    Only the model's own fields are revealed, not those of models inside it.
    """
    body = model.model_dump(mode="json")
    for name, value in model:
        if isinstance(value, SecretStr):
            body[name] = value.get_secret_value()
    return body
