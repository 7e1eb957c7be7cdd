"""Decoding sets Pillow's limit for its process: normally a child, here that of the tests."""

import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def pillows_limit(monkeypatch):
    """Restore Pillow's default limit after each test."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
