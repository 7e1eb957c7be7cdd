"""The description of a request whose body is an image."""

from api.service.uploads import IMAGE_TYPES

_BINARY = {"schema": {"type": "string", "format": "binary"}}
IMAGE_BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of the image. They determine its type, not the header.",
        "content": dict.fromkeys((*IMAGE_TYPES, "application/octet-stream"), _BINARY),
    }
}
