"""The operations with the tag problems."""

from __future__ import annotations

import datetime
from typing import Any, cast
from uuid import UUID

from ...client import AsyncCaller, Caller
from ...models.problem import Problem
from ...models.problem_type import ProblemType
from ...models.problem_type_list import ProblemTypeList
from ...types import UNSET, Response, Unset, Upload
from . import get_problem_type as _get_problem_type
from . import list_problem_types as _list_problem_types


class ProblemsOperations(Caller):
    """The operations with the tag problems."""

    def list_problem_types(
        self,
    ) -> ProblemTypeList:
        """List the kinds of problems.

        JSON, or a page for browsers. The list changes with releases only; expect new members.
        """

        return self.list_problem_types_detailed().parsed

    def list_problem_types_detailed(
        self,
    ) -> Response[ProblemTypeList]:
        """As `list_problem_types`, and return the status and the header fields as well."""
        return self._call(
            _list_problem_types.OPERATION,
            _list_problem_types.build(),
        )

    def get_problem_type(
        self,
        code: str,
    ) -> ProblemType:
        """Explain a kind of problem.

        JSON, or a page for browsers. Every `type` of an error is a path of this operation.

        Args:
            code (str): The last part of `type`.
        """

        return self.get_problem_type_detailed(
            code=code,
        ).parsed

    def get_problem_type_detailed(
        self,
        code: str,
    ) -> Response[ProblemType]:
        """As `get_problem_type`, and return the status and the header fields as well."""
        return self._call(
            _get_problem_type.OPERATION,
            _get_problem_type.build(
                code=code,
            ),
        )


class AsyncProblemsOperations(AsyncCaller):
    """The operations with the tag problems."""

    async def list_problem_types(
        self,
    ) -> ProblemTypeList:
        """List the kinds of problems.

        JSON, or a page for browsers. The list changes with releases only; expect new members.
        """

        return (await self.list_problem_types_detailed()).parsed

    async def list_problem_types_detailed(
        self,
    ) -> Response[ProblemTypeList]:
        """As `list_problem_types`, and return the status and the header fields as well."""
        return await self._call(
            _list_problem_types.OPERATION,
            _list_problem_types.build(),
        )

    async def get_problem_type(
        self,
        code: str,
    ) -> ProblemType:
        """Explain a kind of problem.

        JSON, or a page for browsers. Every `type` of an error is a path of this operation.

        Args:
            code (str): The last part of `type`.
        """

        return (
            await self.get_problem_type_detailed(
                code=code,
            )
        ).parsed

    async def get_problem_type_detailed(
        self,
        code: str,
    ) -> Response[ProblemType]:
        """As `get_problem_type`, and return the status and the header fields as well."""
        return await self._call(
            _get_problem_type.OPERATION,
            _get_problem_type.build(
                code=code,
            ),
        )
