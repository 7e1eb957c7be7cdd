"""Contains all the data models used in inputs/outputs"""

from .create_token_body import CreateTokenBody
from .create_token_body_grant_type import CreateTokenBodyGrantType
from .create_token_o_auth_error import CreateTokenOAuthError
from .create_token_o_auth_error_error import CreateTokenOAuthErrorError
from .email_address import EmailAddress
from .email_confirmation import EmailConfirmation
from .get_jwks_response_get_jwks import GetJwksResponseGetJwks
from .image import Image
from .image_accepted import ImageAccepted
from .image_page import ImagePage
from .image_status import ImageStatus
from .image_variant import ImageVariant
from .job import Job
from .job_create import JobCreate
from .job_create_payload import JobCreatePayload
from .job_page import JobPage
from .job_result_type_0 import JobResultType0
from .job_status import JobStatus
from .password_reset import PasswordReset
from .problem import Problem
from .problem_error import ProblemError
from .revoke_token_body import RevokeTokenBody
from .revoke_token_o_auth_error import RevokeTokenOAuthError
from .revoke_token_o_auth_error_error import RevokeTokenOAuthErrorError
from .role import Role
from .server_metadata import ServerMetadata
from .status import Status
from .status_status import StatusStatus
from .token_pair import TokenPair
from .user import User
from .user_create import UserCreate
from .user_update import UserUpdate

__all__ = (
    "CreateTokenBody",
    "CreateTokenBodyGrantType",
    "CreateTokenOAuthError",
    "CreateTokenOAuthErrorError",
    "EmailAddress",
    "EmailConfirmation",
    "GetJwksResponseGetJwks",
    "Image",
    "ImageAccepted",
    "ImagePage",
    "ImageStatus",
    "ImageVariant",
    "Job",
    "JobCreate",
    "JobCreatePayload",
    "JobPage",
    "JobResultType0",
    "JobStatus",
    "PasswordReset",
    "Problem",
    "ProblemError",
    "RevokeTokenBody",
    "RevokeTokenOAuthError",
    "RevokeTokenOAuthErrorError",
    "Role",
    "ServerMetadata",
    "Status",
    "StatusStatus",
    "TokenPair",
    "User",
    "UserCreate",
    "UserUpdate",
)
