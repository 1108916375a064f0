"""S1 of mixpanel-http-api.md §14.2: the real `mixpanel` package against a running server.

usage: client_mixpanel.py BASE TOKEN USERNAME SECRET PROJECT_ID API_SECRET  ->  ok
Any reply that the package does not take for success raises MixpanelException.
"""

import sys

from mixpanel import BufferedConsumer, Consumer, Mixpanel, ServiceAccountCredentials

base, token, username, secret, project_id, api_secret = sys.argv[1:]
urls = dict(
    events_url=base + "/track", people_url=base + "/engage", groups_url=base + "/groups", import_url=base + "/import"
)

direct = Mixpanel(token, consumer=Consumer(**urls))
direct.track("u1", "Py", {"s": "a+b é ~>>>>"})
direct.people_set("u1", {"plan": "pro"})
direct.people_increment("u1", {"n": 2})
direct.people_append("u1", {"l": "x"})
direct.group_set("company", "acme", {"tier": "gold"})

buffer = BufferedConsumer(**urls)
batched = Mixpanel(token, consumer=buffer)
for i in range(60):  # one POST of 50, one of 10
    batched.track(f"b{i}", "PyBatch", {"s": f"{i}+é ~>>>>?"})
buffer.flush()

account = ServiceAccountCredentials(username, secret, project_id)
by_account = Mixpanel(token, consumer=Consumer(credentials=account, **urls))
by_account.import_data(None, "u1", "PyOld", 1700000000, {"amount": 3})
direct.import_data("unused", "u1", "PyOld", 1700086400, {"amount": 4}, api_secret=api_secret)
print("ok")
