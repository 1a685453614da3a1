"""A number that may have a fraction, over a change to a whole value and back."""

import json
import os
import urllib.request

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider

URL, KEY, ADMIN = (os.environ[name] for name in ("BRUNE", "KEY", "ADMIN"))

api.set_provider(OFREPProvider(URL, headers_factory=lambda: {"X-API-Key": KEY}))
client = api.get_client()


def change(value, version):
    change = {"key": "RATE", "value": value, "version": version}
    request = urllib.request.Request(
        f"{URL}/admin/global-settings",
        method="PATCH",
        headers={"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"},
        data=json.dumps({"reason": "a test", "changes": [change]}).encode(),
    )
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()


def arrives(expected):
    # The test that runs this script ends it when the value never arrives.
    while True:
        details = client.get_float_details("RATE", -1.0)
        assert details.error_code is None, details
        assert isinstance(details.value, float), details
        if details.value == expected:
            return


arrives(5.5)
change(6, 1)
arrives(6.0)
change(5.5, 2)
arrives(5.5)
whole = client.get_integer_details("LIMIT", -1)
assert whole.error_code is None and whole.value == 6, whole
