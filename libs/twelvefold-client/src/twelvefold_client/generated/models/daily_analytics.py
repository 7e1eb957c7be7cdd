from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.job_count import JobCount


T = TypeVar("T", bound="DailyAnalytics")


@_attrs_define
class DailyAnalytics:
    """One day in UTC.

    Attributes:
        day (datetime.date):
        registrations (int):
        active_users (int): Accounts for which tokens were issued.
        images (int): Uploads of that day that are not deleted.
        jobs (list[JobCount]): Jobs of that day by type and current status, while they are kept.
    """

    day: datetime.date
    registrations: int
    active_users: int
    images: int
    jobs: list[JobCount]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        day = self.day.isoformat()

        registrations = self.registrations

        active_users = self.active_users

        images = self.images

        jobs = []
        for jobs_item_data in self.jobs:
            jobs_item = jobs_item_data.to_dict()
            jobs.append(jobs_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "day": day,
                "registrations": registrations,
                "active_users": active_users,
                "images": images,
                "jobs": jobs,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.job_count import JobCount  # noqa: PLC0415

        d = dict(src_dict)
        day = datetime.date.fromisoformat(d.pop("day"))

        registrations = d.pop("registrations")

        active_users = d.pop("active_users")

        images = d.pop("images")

        jobs = []
        _jobs = d.pop("jobs")
        for jobs_item_data in _jobs:
            jobs_item = JobCount.from_dict(jobs_item_data)

            jobs.append(jobs_item)

        daily_analytics = cls(
            day=day,
            registrations=registrations,
            active_users=active_users,
            images=images,
            jobs=jobs,
        )

        daily_analytics.additional_properties = d
        return daily_analytics

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
