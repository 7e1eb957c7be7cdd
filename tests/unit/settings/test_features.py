"""A feature that is off takes its group of settings out of the process."""

from typing import ClassVar

import pytest

from api.settings import ApiSettings, ImageUploadSettings
from twelvefold.settings import (
    AnalyticsSettings,
    EnvironmentSettings,
    FeatureFlags,
    SettingsError,
    load,
    without_disabled,
)
from twelvefold.settings.features import combine
from worker.settings import ImageProcessingSettings, WorkerSettings


class CoreSettings(FeatureFlags):
    shop_name: str = "shop"


class PictureSettings(EnvironmentSettings):
    feature: ClassVar[str | None] = "enable_images"
    prefixes: ClassVar[tuple[str, ...]] = ("PICTURES_",)

    pictures_bucket: str


class ShopSettings(CoreSettings, PictureSettings, AnalyticsSettings):
    pass


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("ENVIRONMENT", "testing")


def test_a_feature_that_is_on_requires_its_settings():
    with pytest.raises(SettingsError, match="PICTURES_BUCKET is missing"):
        load(without_disabled(ShopSettings))


def test_a_feature_that_is_off_requires_none_and_leaves_the_others(monkeypatch):
    monkeypatch.setenv("ENABLE_IMAGES", "false")
    settings = load(without_disabled(ShopSettings))
    assert not isinstance(settings, PictureSettings)
    assert isinstance(settings, CoreSettings)
    assert isinstance(settings, AnalyticsSettings)
    assert settings.shop_name == "shop"


def test_settings_of_a_feature_that_is_off_may_stay_in_the_environment(monkeypatch):
    monkeypatch.setenv("ENABLE_IMAGES", "false")
    monkeypatch.setenv("PICTURES_BUCKET", "kept")
    load(without_disabled(ShopSettings))


def test_an_invalid_flag_is_reported_as_any_other_setting(monkeypatch):
    monkeypatch.setenv("ENABLE_IMAGES", "perhaps")
    monkeypatch.setenv("PICTURES_BUCKET", "some")
    with pytest.raises(SettingsError, match="ENABLE_IMAGES"):
        load(without_disabled(ShopSettings))


def test_a_class_with_fields_of_its_own_cannot_lose_a_feature(monkeypatch):
    class Mixed(CoreSettings, PictureSettings):
        further: int = 1

    monkeypatch.setenv("ENABLE_IMAGES", "false")
    with pytest.raises(TypeError, match="Mixed"):
        without_disabled(Mixed)


def test_groups_of_handlers_join_once():
    joined = combine(CoreSettings, [PictureSettings, CoreSettings, PictureSettings])
    assert joined.model_fields.keys() == {
        *CoreSettings.model_fields,
        *PictureSettings.model_fields,
    }
    assert combine(ShopSettings, [PictureSettings]) is ShopSettings


@pytest.mark.parametrize(
    ("settings", "group"),
    [(ApiSettings, ImageUploadSettings), (WorkerSettings, ImageProcessingSettings)],
)
def test_without_images_no_service_asks_for_a_bucket(settings, group):
    assert "s3_bucket" in settings.model_fields
    reduced = without_disabled(settings, enable_images=False)
    assert [name for name in reduced.model_fields if name.startswith("s3_")] == []
    assert not issubclass(reduced, group)
    assert "S3_BUCKET" in reduced.left_out
