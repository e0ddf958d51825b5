"""A client that openapi-python-client made of native's document, against a running server: signs in,
refreshes, makes a key, pages through people, and gets an error as a value with a type.

    client.py, with BASE, PASSWORD and the client on PYTHONPATH
"""

import os
from datetime import datetime

from gatelodge_client import AuthenticatedClient, Client
from gatelodge_client.api.api_keys import api_key_create, api_key_revoke
from gatelodge_client.api.auth import auth_login, auth_refresh
from gatelodge_client.api.profile import profile_get
from gatelodge_client.api.users import user_create, users_list
from gatelodge_client.models import (
    KeyRequest,
    Kind,
    ListUser,
    LoginRequest,
    NewApiKey,
    Problem,
    RefreshRequest,
    Tokens,
    User,
    UserRequest,
)

base, password = os.environ["BASE"], os.environ["PASSWORD"]
stranger = Client(base_url=base)

tokens = auth_login.sync(client=stranger, body=LoginRequest(username="ann", password=password))
assert isinstance(tokens, Tokens) and isinstance(tokens.expires_at, datetime)
again = auth_refresh.sync(
    client=stranger, body=RefreshRequest(refresh_token=tokens.refresh_token)
)
assert isinstance(again, Tokens) and again.refresh_token != tokens.refresh_token

ann = AuthenticatedClient(base_url=base, token=again.token)
me = profile_get.sync(client=ann)
assert isinstance(me, User) and me.username == "ann" and me.last_login_at is not None
for number in range(5):
    made = user_create.sync(client=ann, body=UserRequest(username=f"guest{number}"))
    assert isinstance(made, User) and made.email is None

key = api_key_create.sync(client=ann, body=KeyRequest(name="script", permissions=["users-read"]))
assert isinstance(key, NewApiKey) and key.permissions == ["users-read"]
script = AuthenticatedClient(base_url=base, token=key.key)

names, page = [], 1
while True:
    found = users_list.sync(client=script, page=page, page_size=3)
    assert isinstance(found, ListUser) and found.page == page
    names += [user.username for user in found.data]
    if len(names) >= found.total:
        break
    page += 1
assert page > 1 and {"ann", "bob", "guest4"} <= set(names), names

refused = user_create.sync(client=script, body=UserRequest(username="nobody"))
assert isinstance(refused, Problem) and refused.error is Kind.FORBIDDEN and refused.message
wrong = auth_login.sync(client=stranger, body=LoginRequest(username="ann", password="wrong"))
assert isinstance(wrong, Problem) and wrong.error is Kind.UNAUTHORIZED
assert api_key_revoke.sync_detailed(client=ann, id=key.id).status_code == 204
ended = users_list.sync(client=script)
assert isinstance(ended, Problem) and ended.error is Kind.UNAUTHORIZED
print("the client in Python signs in, refreshes, makes a key, turns pages and reads errors")
