from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.account_export_services import AccountExportServices
    from ..models.image import Image
    from ..models.job import Job
    from ..models.user_export import UserExport


T = TypeVar("T", bound="AccountExport")


@_attrs_define
class AccountExport:
    """All data that is kept about the caller.

    Attributes:
        account (UserExport): Everything that users stores about an account, except secrets.
        images (list[Image]):
        jobs (list[Job]): Jobs that are not pruned yet.
        services (AccountExportServices | Unset): What further services keep, by their name.
    """

    account: UserExport
    images: list[Image]
    jobs: list[Job]
    services: AccountExportServices | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        account = self.account.to_dict()

        images = []
        for images_item_data in self.images:
            images_item = images_item_data.to_dict()
            images.append(images_item)

        jobs = []
        for jobs_item_data in self.jobs:
            jobs_item = jobs_item_data.to_dict()
            jobs.append(jobs_item)

        services: dict[str, Any] | Unset = UNSET
        if not isinstance(self.services, Unset):
            services = self.services.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "account": account,
                "images": images,
                "jobs": jobs,
            }
        )
        if services is not UNSET:
            field_dict["services"] = services

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.account_export_services import AccountExportServices  # noqa: PLC0415
        from ..models.image import Image  # noqa: PLC0415
        from ..models.job import Job  # noqa: PLC0415
        from ..models.user_export import UserExport  # noqa: PLC0415

        d = dict(src_dict)
        account = UserExport.from_dict(d.pop("account"))

        images = []
        _images = d.pop("images")
        for images_item_data in _images:
            images_item = Image.from_dict(images_item_data)

            images.append(images_item)

        jobs = []
        _jobs = d.pop("jobs")
        for jobs_item_data in _jobs:
            jobs_item = Job.from_dict(jobs_item_data)

            jobs.append(jobs_item)

        _services = d.pop("services", UNSET)
        services: AccountExportServices | Unset
        if isinstance(_services, Unset):
            services = UNSET
        else:
            services = AccountExportServices.from_dict(_services)

        account_export = cls(
            account=account,
            images=images,
            jobs=jobs,
            services=services,
        )

        account_export.additional_properties = d
        return account_export

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
