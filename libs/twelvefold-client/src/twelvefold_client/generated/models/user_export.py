from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.mail_record import MailRecord
    from ..models.session import Session
    from ..models.user import User
    from ..models.variant import Variant


T = TypeVar("T", bound="UserExport")


@_attrs_define
class UserExport:
    """Everything that users stores about an account, except secrets.

    Attributes:
        user (User): An account as its owner and admins see it.
        password_changed_at (datetime.datetime):
        email_verified_at (datetime.datetime | None):
        disabled_at (datetime.datetime | None):
        avatar (list[Variant]):
        sessions (list[Session]):
        active_days (list[datetime.date]): Days (UTC) on which tokens were issued.
        mails (list[MailRecord]): Emails whose link is valid, and recent notices.
        pending_email (None | str | Unset): A new address that awaits confirmation.
        reserved_emails (list[str] | Unset): Former addresses that can still be restored.
    """

    user: User
    password_changed_at: datetime.datetime
    email_verified_at: datetime.datetime | None
    disabled_at: datetime.datetime | None
    avatar: list[Variant]
    sessions: list[Session]
    active_days: list[datetime.date]
    mails: list[MailRecord]
    pending_email: None | str | Unset = UNSET
    reserved_emails: list[str] | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        user = self.user.to_dict()

        password_changed_at = self.password_changed_at.isoformat()

        email_verified_at: None | str
        if isinstance(self.email_verified_at, datetime.datetime):
            email_verified_at = self.email_verified_at.isoformat()
        else:
            email_verified_at = self.email_verified_at

        disabled_at: None | str
        if isinstance(self.disabled_at, datetime.datetime):
            disabled_at = self.disabled_at.isoformat()
        else:
            disabled_at = self.disabled_at

        avatar = []
        for avatar_item_data in self.avatar:
            avatar_item = avatar_item_data.to_dict()
            avatar.append(avatar_item)

        sessions = []
        for sessions_item_data in self.sessions:
            sessions_item = sessions_item_data.to_dict()
            sessions.append(sessions_item)

        active_days = []
        for active_days_item_data in self.active_days:
            active_days_item = active_days_item_data.isoformat()
            active_days.append(active_days_item)

        mails = []
        for mails_item_data in self.mails:
            mails_item = mails_item_data.to_dict()
            mails.append(mails_item)

        pending_email: None | str | Unset
        if isinstance(self.pending_email, Unset):
            pending_email = UNSET
        else:
            pending_email = self.pending_email

        reserved_emails: list[str] | Unset = UNSET
        if not isinstance(self.reserved_emails, Unset):
            reserved_emails = self.reserved_emails

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "user": user,
                "password_changed_at": password_changed_at,
                "email_verified_at": email_verified_at,
                "disabled_at": disabled_at,
                "avatar": avatar,
                "sessions": sessions,
                "active_days": active_days,
                "mails": mails,
            }
        )
        if pending_email is not UNSET:
            field_dict["pending_email"] = pending_email
        if reserved_emails is not UNSET:
            field_dict["reserved_emails"] = reserved_emails

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.mail_record import MailRecord  # noqa: PLC0415
        from ..models.session import Session  # noqa: PLC0415
        from ..models.user import User  # noqa: PLC0415
        from ..models.variant import Variant  # noqa: PLC0415

        d = dict(src_dict)
        user = User.from_dict(d.pop("user"))

        password_changed_at = datetime.datetime.fromisoformat(d.pop("password_changed_at"))

        def _parse_email_verified_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                email_verified_at_type_0 = datetime.datetime.fromisoformat(data)

                return email_verified_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        email_verified_at = _parse_email_verified_at(d.pop("email_verified_at"))

        def _parse_disabled_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                disabled_at_type_0 = datetime.datetime.fromisoformat(data)

                return disabled_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        disabled_at = _parse_disabled_at(d.pop("disabled_at"))

        avatar = []
        _avatar = d.pop("avatar")
        for avatar_item_data in _avatar:
            avatar_item = Variant.from_dict(avatar_item_data)

            avatar.append(avatar_item)

        sessions = []
        _sessions = d.pop("sessions")
        for sessions_item_data in _sessions:
            sessions_item = Session.from_dict(sessions_item_data)

            sessions.append(sessions_item)

        active_days = []
        _active_days = d.pop("active_days")
        for active_days_item_data in _active_days:
            active_days_item = datetime.date.fromisoformat(active_days_item_data)

            active_days.append(active_days_item)

        mails = []
        _mails = d.pop("mails")
        for mails_item_data in _mails:
            mails_item = MailRecord.from_dict(mails_item_data)

            mails.append(mails_item)

        def _parse_pending_email(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        pending_email = _parse_pending_email(d.pop("pending_email", UNSET))

        reserved_emails = cast(list[str], d.pop("reserved_emails", UNSET))

        user_export = cls(
            user=user,
            password_changed_at=password_changed_at,
            email_verified_at=email_verified_at,
            disabled_at=disabled_at,
            avatar=avatar,
            sessions=sessions,
            active_days=active_days,
            mails=mails,
            pending_email=pending_email,
            reserved_emails=reserved_emails,
        )

        user_export.additional_properties = d
        return user_export

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
