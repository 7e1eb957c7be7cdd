from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.image_status import ImageStatus

if TYPE_CHECKING:
    from ..models.image_variant import ImageVariant


T = TypeVar("T", bound="Image")


@_attrs_define
class Image:
    """An uploaded image.

    Attributes:
        id (UUID):
        owner_id (UUID):
        status (ImageStatus):
        reason (None | str): Why it was rejected.
        content_type (str): Type of the upload, detected from its bytes.
        size (int): Bytes of the upload.
        sha256 (str): SHA-256 of the upload, hexadecimal.
        variants (list[ImageVariant]): Empty until the image is ready.
        created_at (datetime.datetime):
        updated_at (datetime.datetime):
    """

    id: UUID
    owner_id: UUID
    status: ImageStatus
    reason: None | str
    content_type: str
    size: int
    sha256: str
    variants: list[ImageVariant]
    created_at: datetime.datetime
    updated_at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = str(self.id)

        owner_id = str(self.owner_id)

        status = self.status.value

        reason: None | str
        reason = self.reason

        content_type = self.content_type

        size = self.size

        sha256 = self.sha256

        variants = []
        for variants_item_data in self.variants:
            variants_item = variants_item_data.to_dict()
            variants.append(variants_item)

        created_at = self.created_at.isoformat()

        updated_at = self.updated_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "owner_id": owner_id,
                "status": status,
                "reason": reason,
                "content_type": content_type,
                "size": size,
                "sha256": sha256,
                "variants": variants,
                "created_at": created_at,
                "updated_at": updated_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.image_variant import ImageVariant  # noqa: PLC0415

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        owner_id = UUID(d.pop("owner_id"))

        status = ImageStatus(d.pop("status"))

        def _parse_reason(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        reason = _parse_reason(d.pop("reason"))

        content_type = d.pop("content_type")

        size = d.pop("size")

        sha256 = d.pop("sha256")

        variants = []
        _variants = d.pop("variants")
        for variants_item_data in _variants:
            variants_item = ImageVariant.from_dict(variants_item_data)

            variants.append(variants_item)

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        updated_at = datetime.datetime.fromisoformat(d.pop("updated_at"))

        image = cls(
            id=id,
            owner_id=owner_id,
            status=status,
            reason=reason,
            content_type=content_type,
            size=size,
            sha256=sha256,
            variants=variants,
            created_at=created_at,
            updated_at=updated_at,
        )

        image.additional_properties = d
        return image

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
