"""The OpenFeature provider for Python, which asks for each flag when it is evaluated."""

import json
import os
import urllib.request

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

URL, KEY, ADMIN, USER = (os.environ[name] for name in ("BRUNE", "KEY", "ADMIN", "USER"))


def client_with(domain, headers):
    api.set_provider(OFREPProvider(URL, headers_factory=lambda: headers), domain)
    return api.get_client(domain)


def same(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


client = client_with("by-key", {"X-API-Key": KEY})
number = client.get_integer_details("BRUNE_COOLDOWN_MINUTES", 1, EvaluationContext("brun-e"))
same((number.value, number.reason, number.variant), (30, "STATIC", "v1"))
same(dict(number.flag_metadata), {"version": 1, "valueType": "number", "revision": 1, "stale": False})
same(client.get_boolean_value("BRUNE_ELIGIBILITY_REQUIRE_PLAN", False), True)
same(client.get_string_value("BRUNE_PROMPT_VERSION", "x"), "1")
models = client.get_object_value("BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST", [])
same(models, ["gpt-realtime-2.1", "gpt-realtime-2.1-mini"])

for key in ("NOPE", "JWT_SECRET"):
    unknown = client.get_string_details(key, "default")
    same((unknown.value, unknown.error_code), ("default", "FLAG_NOT_FOUND"))

by_token = client_with("by-token", {"Authorization": f"Bearer {USER}"})
same(by_token.get_integer_value("BRUNE_COOLDOWN_MINUTES", 1), 30)
nobody = client_with("nobody", {})
refused = nobody.get_integer_details("BRUNE_COOLDOWN_MINUTES", 1)
same((refused.value, refused.error_code), (1, "GENERAL"))

change = {"key": "BRUNE_COOLDOWN_MINUTES", "value": 45, "version": 1}
request = urllib.request.Request(
    f"{URL}/admin/global-settings",
    method="PATCH",
    headers={"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"},
    data=json.dumps({"reason": "a test", "changes": [change]}).encode(),
)
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()
# The test that runs this script ends it when the change never arrives.
while client.get_integer_value("BRUNE_COOLDOWN_MINUTES", 1) != 45:
    pass
