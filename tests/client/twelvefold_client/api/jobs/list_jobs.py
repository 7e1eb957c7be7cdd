from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.job_page import JobPage
from ...models.job_status import JobStatus
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    limit: int | Unset = 20,
    cursor: None | str | Unset = UNSET,
    owner_id: None | Unset | UUID = UNSET,
    status: JobStatus | None | Unset = UNSET,
    type_: None | str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["limit"] = limit

    json_cursor: None | str | Unset
    if isinstance(cursor, Unset):
        json_cursor = UNSET
    else:
        json_cursor = cursor
    params["cursor"] = json_cursor

    json_owner_id: None | str | Unset
    if isinstance(owner_id, Unset):
        json_owner_id = UNSET
    elif isinstance(owner_id, UUID):
        json_owner_id = str(owner_id)
    else:
        json_owner_id = owner_id
    params["owner_id"] = json_owner_id

    json_status: None | str | Unset
    if isinstance(status, Unset):
        json_status = UNSET
    elif isinstance(status, JobStatus):
        json_status = status.value
    else:
        json_status = status
    params["status"] = json_status

    json_type_: None | str | Unset
    if isinstance(type_, Unset):
        json_type_ = UNSET
    else:
        json_type_ = type_
    params["type"] = json_type_

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/v1/jobs",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> JobPage | Problem | None:
    if response.status_code == 200:
        response_200 = JobPage.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = Problem.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Problem.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

    if response.status_code == 422:
        response_422 = Problem.from_dict(response.json())

        return response_422

    if response.status_code == 429:
        response_429 = Problem.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = Problem.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = Problem.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[JobPage | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    limit: int | Unset = 20,
    cursor: None | str | Unset = UNSET,
    owner_id: None | Unset | UUID = UNSET,
    status: JobStatus | None | Unset = UNSET,
    type_: None | str | Unset = UNSET,
) -> Response[JobPage | Problem]:
    """List jobs

    Args:
        limit (int | Unset): Maximum number of items in the page. Default: 20.
        cursor (None | str | Unset): `next_cursor` of the previous page.
        owner_id (None | Unset | UUID): The owner. Default: the caller; for admins all owners.
        status (JobStatus | None | Unset): Only with this status.
        type_ (None | str | Unset): Only of this type.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[JobPage | Problem]
    """

    kwargs = _get_kwargs(
        limit=limit,
        cursor=cursor,
        owner_id=owner_id,
        status=status,
        type_=type_,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    limit: int | Unset = 20,
    cursor: None | str | Unset = UNSET,
    owner_id: None | Unset | UUID = UNSET,
    status: JobStatus | None | Unset = UNSET,
    type_: None | str | Unset = UNSET,
) -> JobPage | Problem | None:
    """List jobs

    Args:
        limit (int | Unset): Maximum number of items in the page. Default: 20.
        cursor (None | str | Unset): `next_cursor` of the previous page.
        owner_id (None | Unset | UUID): The owner. Default: the caller; for admins all owners.
        status (JobStatus | None | Unset): Only with this status.
        type_ (None | str | Unset): Only of this type.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        JobPage | Problem
    """

    return sync_detailed(
        client=client,
        limit=limit,
        cursor=cursor,
        owner_id=owner_id,
        status=status,
        type_=type_,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    limit: int | Unset = 20,
    cursor: None | str | Unset = UNSET,
    owner_id: None | Unset | UUID = UNSET,
    status: JobStatus | None | Unset = UNSET,
    type_: None | str | Unset = UNSET,
) -> Response[JobPage | Problem]:
    """List jobs

    Args:
        limit (int | Unset): Maximum number of items in the page. Default: 20.
        cursor (None | str | Unset): `next_cursor` of the previous page.
        owner_id (None | Unset | UUID): The owner. Default: the caller; for admins all owners.
        status (JobStatus | None | Unset): Only with this status.
        type_ (None | str | Unset): Only of this type.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[JobPage | Problem]
    """

    kwargs = _get_kwargs(
        limit=limit,
        cursor=cursor,
        owner_id=owner_id,
        status=status,
        type_=type_,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    limit: int | Unset = 20,
    cursor: None | str | Unset = UNSET,
    owner_id: None | Unset | UUID = UNSET,
    status: JobStatus | None | Unset = UNSET,
    type_: None | str | Unset = UNSET,
) -> JobPage | Problem | None:
    """List jobs

    Args:
        limit (int | Unset): Maximum number of items in the page. Default: 20.
        cursor (None | str | Unset): `next_cursor` of the previous page.
        owner_id (None | Unset | UUID): The owner. Default: the caller; for admins all owners.
        status (JobStatus | None | Unset): Only with this status.
        type_ (None | str | Unset): Only of this type.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        JobPage | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            limit=limit,
            cursor=cursor,
            owner_id=owner_id,
            status=status,
            type_=type_,
        )
    ).parsed
