from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.create_token_o_auth_error_error import CreateTokenOAuthErrorError
from ..types import UNSET, Unset

T = TypeVar("T", bound="CreateTokenOAuthError")


@_attrs_define
class CreateTokenOAuthError:
    """
    Attributes:
        error (CreateTokenOAuthErrorError):
        error_description (str | Unset):
    """

    error: CreateTokenOAuthErrorError
    error_description: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        error = self.error.value

        error_description = self.error_description

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "error": error,
            }
        )
        if error_description is not UNSET:
            field_dict["error_description"] = error_description

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        error = CreateTokenOAuthErrorError(d.pop("error"))

        error_description = d.pop("error_description", UNSET)

        create_token_o_auth_error = cls(
            error=error,
            error_description=error_description,
        )

        create_token_o_auth_error.additional_properties = d
        return create_token_o_auth_error

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
