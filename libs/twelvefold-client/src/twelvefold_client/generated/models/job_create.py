from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.job_create_payload import JobCreatePayload


T = TypeVar("T", bound="JobCreate")


@_attrs_define
class JobCreate:
    """`image.process` takes `{"image_id": …}`. Admins may start every other type as well.

    Attributes:
        type_ (str):
        payload (JobCreatePayload):
    """

    type_: str
    payload: JobCreatePayload

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        payload = self.payload.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "payload": payload,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.job_create_payload import JobCreatePayload  # noqa: PLC0415

        d = dict(src_dict)
        type_ = d.pop("type")

        payload = JobCreatePayload.from_dict(d.pop("payload"))

        job_create = cls(
            type_=type_,
            payload=payload,
        )

        return job_create
