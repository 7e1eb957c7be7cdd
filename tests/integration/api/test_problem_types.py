"""The pages behind the member `type` of an error."""

import pytest

BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


async def test_the_type_of_an_error_leads_to_its_explanation(anonymous):
    problem = (await anonymous.get("/api/v1/users/me")).json()
    response = await anonymous.get(problem["type"])
    assert response.status_code == 200
    explained = response.json()
    assert explained["type"] == problem["type"]
    assert (explained["status"], explained["title"]) == (problem["status"], problem["title"])
    assert explained["advice"]
    assert explained["repeat"] == "no"
    assert response.headers["vary"] == "Accept"


async def test_the_list_names_every_type_and_each_has_its_own_page(anonymous):
    listed = (await anonymous.get("/problems")).json()["items"]
    assert len(listed) > 15
    for found in listed:
        assert (await anonymous.get(found["type"])).json() == found


@pytest.mark.parametrize("path", ["/problems", "/problems/too-many-requests"])
async def test_a_browser_gets_a_page_without_scripts(anonymous, path):
    response = await anonymous.get(path, headers={"Accept": BROWSER})
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "Too many requests" in response.text
    assert "<script" not in response.text
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


async def test_an_unknown_type_is_a_problem_itself(anonymous):
    response = await anonymous.get("/problems/nothing-of-the-kind")
    assert response.status_code == 404
    assert response.json()["type"] == "/problems/not-found"
