"""A parameter of one value is given once; one of many values as often as its sender likes."""

import pytest
from tests.unit.http.demo import demo


@pytest.mark.parametrize("query", ["sort=a&sort=b", "sort=a&sort=a", "sort=&tags=x&s%6frt="])
async def test_a_repeated_parameter_of_one_value_is_refused(query):
    async with demo() as it:
        response = await it.client.get(f"/api/v1/tagged?{query}")
    assert response.status_code == 422
    assert response.json()["errors"] == [{"pointer": "/query/sort", "detail": "is repeated"}]


@pytest.mark.parametrize("query", ["tags=a&tags=b&sort=x", "other=1&other=2&tags=a&tags=b&sort=x"])
async def test_lists_and_unknown_parameters_may_be_repeated(query):
    async with demo() as it:
        response = await it.client.get(f"/api/v1/tagged?{query}")
    assert (response.status_code, response.json()) == (200, {"tags": ["a", "b"], "order": "x"})
