"""Contains all the data models used in inputs/outputs"""

from .account_export import AccountExport
from .account_export_services import AccountExportServices
from .account_export_services_additional_property import AccountExportServicesAdditionalProperty
from .create_token_o_auth_error import CreateTokenOAuthError
from .create_token_o_auth_error_error import CreateTokenOAuthErrorError
from .create_token_password_grant import CreateTokenPasswordGrant
from .create_token_refresh_token_grant import CreateTokenRefreshTokenGrant
from .daily_analytics import DailyAnalytics
from .daily_analytics_report import DailyAnalyticsReport
from .email_address import EmailAddress
from .email_change import EmailChange
from .email_change_undo import EmailChangeUndo
from .email_confirmation import EmailConfirmation
from .get_jwks_response_get_jwks import GetJwksResponseGetJwks
from .image import Image
from .image_accepted import ImageAccepted
from .image_page import ImagePage
from .image_status import ImageStatus
from .image_variant import ImageVariant
from .job import Job
from .job_count import JobCount
from .job_create import JobCreate
from .job_create_payload import JobCreatePayload
from .job_page import JobPage
from .job_result_type_0 import JobResultType0
from .job_status import JobStatus
from .mail_record import MailRecord
from .password_change import PasswordChange
from .password_reset import PasswordReset
from .problem import Problem
from .problem_error import ProblemError
from .problem_type import ProblemType
from .problem_type_list import ProblemTypeList
from .problem_type_repeat import ProblemTypeRepeat
from .revoke_token_o_auth_error import RevokeTokenOAuthError
from .revoke_token_o_auth_error_error import RevokeTokenOAuthErrorError
from .revoke_token_token_revocation import RevokeTokenTokenRevocation
from .role import Role
from .server_metadata import ServerMetadata
from .session import Session
from .session_list import SessionList
from .status import Status
from .status_status import StatusStatus
from .token_pair import TokenPair
from .user import User
from .user_admin_update import UserAdminUpdate
from .user_create import UserCreate
from .user_export import UserExport
from .user_list import UserList
from .user_update import UserUpdate
from .variant import Variant

__all__ = (
    "AccountExport",
    "AccountExportServices",
    "AccountExportServicesAdditionalProperty",
    "CreateTokenOAuthError",
    "CreateTokenOAuthErrorError",
    "CreateTokenPasswordGrant",
    "CreateTokenRefreshTokenGrant",
    "DailyAnalytics",
    "DailyAnalyticsReport",
    "EmailAddress",
    "EmailChange",
    "EmailChangeUndo",
    "EmailConfirmation",
    "GetJwksResponseGetJwks",
    "Image",
    "ImageAccepted",
    "ImagePage",
    "ImageStatus",
    "ImageVariant",
    "Job",
    "JobCount",
    "JobCreate",
    "JobCreatePayload",
    "JobPage",
    "JobResultType0",
    "JobStatus",
    "MailRecord",
    "PasswordChange",
    "PasswordReset",
    "Problem",
    "ProblemError",
    "ProblemType",
    "ProblemTypeList",
    "ProblemTypeRepeat",
    "RevokeTokenOAuthError",
    "RevokeTokenOAuthErrorError",
    "RevokeTokenTokenRevocation",
    "Role",
    "ServerMetadata",
    "Session",
    "SessionList",
    "Status",
    "StatusStatus",
    "TokenPair",
    "User",
    "UserAdminUpdate",
    "UserCreate",
    "UserExport",
    "UserList",
    "UserUpdate",
    "Variant",
)
