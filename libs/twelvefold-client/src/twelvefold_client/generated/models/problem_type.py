from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.problem_type_repeat import ProblemTypeRepeat

T = TypeVar("T", bound="ProblemType")


@_attrs_define
class ProblemType:
    """A kind of problem (RFC 9457 section 4): the page behind the member `type` of an error.

    Attributes:
        type_ (str): The member `type` of problems of this kind.
        code (str): The last part of `type`.
        status (int): The HTTP status of the response.
        title (str): The member `title` of problems of this kind.
        meaning (str): What happened.
        advice (str): What to do.
        repeat (ProblemTypeRepeat): `no`: the same request fails again, so change it. `if_safe`: the outcome may be
            unknown, so repeat GET, PUT and DELETE, and POST with the same Idempotency-Key. `yes`: nothing was done, so
            repeat any request after `Retry-After`.
    """

    type_: str
    code: str
    status: int
    title: str
    meaning: str
    advice: str
    repeat: ProblemTypeRepeat
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        code = self.code

        status = self.status

        title = self.title

        meaning = self.meaning

        advice = self.advice

        repeat = self.repeat.value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
                "code": code,
                "status": status,
                "title": title,
                "meaning": meaning,
                "advice": advice,
                "repeat": repeat,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = d.pop("type")

        code = d.pop("code")

        status = d.pop("status")

        title = d.pop("title")

        meaning = d.pop("meaning")

        advice = d.pop("advice")

        repeat = ProblemTypeRepeat(d.pop("repeat"))

        problem_type = cls(
            type_=type_,
            code=code,
            status=status,
            title=title,
            meaning=meaning,
            advice=advice,
            repeat=repeat,
        )

        problem_type.additional_properties = d
        return problem_type

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
