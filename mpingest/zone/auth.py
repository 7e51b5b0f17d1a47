"""Native authentication: a challenge, and the digest of challenge and password."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import string
from dataclasses import dataclass, field

from mpingest.zone.catalog.users import User, find_user, password_of
from mpingest.zone.messages import pack_json, read_json_object
from mpingest.zone.numbers import Api
from mpingest.zone.pack import leaf, pack
from mpingest.zone.session import Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError
from mpingest.zone.zone import Zone

_CHALLENGE_SIZE = 64
_MAX_PASSWORD = 50
_SIGNATURE_SIZE = 16


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the startup message says logs in (proxy), on whose behalf (client)."""

    proxy: str
    proxy_zone: str
    client: str
    client_zone: str


@dataclass
class Login:
    """One connection's way from its startup message to a session."""

    zone: Zone
    identity: Identity
    _challenge: str = field(default="", init=False)

    def answer(self, request: Request) -> tuple[Reply, Session | None]:
        """The reply to a request before the login is complete, and the session once it is. Raises ZoneError."""
        match request.number:
            case Api.AUTH_REQUEST_AN:
                text = base64.b64encode(self._new_challenge().encode()).decode()
                return Reply(message=pack("authRequestOut_PI", leaf("challenge", text)).encode()), None
            case Api.AUTH_RESPONSE_AN:
                return Reply(), self._log_in(_decoded(request.body.string("response")))
            case Api.AUTHENTICATION_APN:
                return self._answer_plugin(request)
            case _:
                raise ZoneError(Status.SYS_NO_API_PRIV)

    def _answer_plugin(self, request: Request) -> tuple[Reply, Session | None]:
        message = read_json_object(request.body)
        if message.get("scheme", "native") != "native":
            raise ZoneError(Status.CAT_INVALID_AUTHENTICATION)
        match message.get("next_operation"):
            case "auth_agent_auth_request":
                return Reply(message=pack_json(message | {"request_result": self._new_challenge()})), None
            case "auth_agent_auth_response":
                session = self._log_in(_decoded(str(message.get("digest", ""))))
                return Reply(message=pack_json(message)), session
            case _:
                raise ZoneError(Status.SYS_INVALID_INPUT_PARAM)

    def _new_challenge(self) -> str:
        self._challenge = "".join(secrets.choice(string.ascii_letters) for _ in range(_CHALLENGE_SIZE))
        return self._challenge

    def _log_in(self, digest: bytes) -> Session:
        challenge, self._challenge = self._challenge, ""
        proxy = find_user(self.zone.db, self.identity.proxy, self.identity.proxy_zone)
        password = password_of(self.zone.db, proxy) if proxy else None
        expected = expected_digest(challenge, password or secrets.token_hex())
        if not challenge or proxy is None or not hmac.compare_digest(digest, expected):
            raise ZoneError(Status.CAT_INVALID_AUTHENTICATION)
        signature = challenge[:_SIGNATURE_SIZE].encode().hex()
        return Session(self.zone, self._client_of(proxy), proxy, signature)

    def _client_of(self, proxy: User) -> User:
        client = find_user(self.zone.db, self.identity.client, self.identity.client_zone)
        if client == proxy:
            return proxy
        if not proxy.is_admin:
            raise ZoneError(Status.SYS_PROXYUSER_NO_PRIV)
        if client is None:
            raise ZoneError(Status.CAT_INVALID_CLIENT_USER)
        return client


def expected_digest(challenge: str, password: str) -> bytes:
    """What a client that knows the password answers: MD5 without zero bytes."""
    padded = password.encode()[:_MAX_PASSWORD].ljust(_MAX_PASSWORD, b"\0")
    return hashlib.md5(challenge.encode() + padded).digest().replace(b"\0", b"\1")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return b""
