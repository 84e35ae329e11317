"""Every way a token can be wrong is a 401 that says which; a good one is a principal."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.clock import VirtualClock
from emulator.errors import RequestInvalid, Unauthenticated
from emulator.identity.audiences import ARM_AUDIENCES, DATA_AUDIENCES, Plane, accepts, resource_of
from emulator.identity.keys import SigningKey, new_key
from emulator.identity.principals import DEFAULT_CLIENT_ID, DEFAULT_OID, Principal
from emulator.identity.service import Identity
from emulator.identity.tokens import DEFAULT_TENANT, INVALID_KINDS
from emulator.identity.verify import Mode, Verifier

OTHER_KEY = new_key()


def encode(part: dict[str, Any] | bytes) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refusal(identity: Identity, header: str | None, plane: Plane = Plane.DATA) -> str:
    with pytest.raises(Unauthenticated) as caught:
        identity.authenticate(header, plane)
    assert caught.value.status == 401
    return caught.value.reason or ""


def test_a_good_token_is_the_default_principal(identity: Identity) -> None:
    principal = identity.authenticate(f"Bearer {identity.mint()}")
    assert (principal.oid, principal.client_id, principal.tenant) == (
        DEFAULT_OID,
        DEFAULT_CLIENT_ID,
        DEFAULT_TENANT,
    )


def test_claims_as_entra_writes_them(identity: Identity, clock: VirtualClock) -> None:
    token = identity.mint(oid="someone", expires_in=60)
    claims = jwt.decode(token, options={"verify_signature": False})
    now = int(clock.now())
    assert (claims["iat"], claims["nbf"], claims["exp"]) == (now, now, now + 60)
    assert claims["aud"] == "https://dynamicsessions.io"
    assert claims["iss"] == f"https://sts.windows.net/{DEFAULT_TENANT}/"
    assert claims["oid"] == claims["sub"] == "someone"
    assert (claims["tid"], claims["ver"]) == (DEFAULT_TENANT, "1.0")
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"], header["kid"]) == ("RS256", "JWT", identity.key.kid)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", " Bearer "])
def test_the_scheme_has_no_case(identity: Identity, scheme: str) -> None:
    assert identity.authenticate(f"{scheme} {identity.mint()}").oid == DEFAULT_OID


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "no Authorization header"),
        ("", "no Authorization header"),
        ("Basic dTpw", "Authorization scheme is 'Basic', not Bearer"),
        ("Bearer", "no token after Bearer"),
        ("Bearer garbage", "malformed token: 1 parts instead of 3"),
        ("Bearer a.b.c", "malformed token: its header are no JSON"),
        (f"Bearer {encode({'alg': 'RS256'})}.{encode(b'[]')}.x", "its claims are no JSON object"),
        (f"Bearer {encode({'alg': 'RS256'})}.{encode(b'[' * 10000)}.x", "its claims are no JSON"),
        ("Bearer " + "a" * 40000, "40000 characters are more than"),
        ("Bearer ä.ö.ü", "malformed token"),
    ],
)
def test_headers_that_carry_no_token(identity: Identity, header: str | None, reason: str) -> None:
    assert reason in refusal(identity, header)


@pytest.mark.parametrize(
    ("invalid", "reason"),
    [
        ("signature", "bad signature"),
        (
            "audience",
            "wrong audience 'https://wrong-audience.invalid': this is accepted with https://dynamic",
        ),
        ("expired", "token expired 3600 s ago"),
        ("nbf", "token not valid for another 3600 s"),
    ],
)
def test_deliberately_bad_tokens(identity: Identity, invalid: str, reason: str) -> None:
    header = f"Bearer {identity.mint(invalid=invalid)}"
    for _ in range(2):  # also when it has been seen before
        assert reason in refusal(identity, header)
    assert set(INVALID_KINDS) == {"signature", "audience", "expired", "nbf"}


@pytest.mark.parametrize("options", [{"invalid": "colour"}, {"expires_in": 0}, {"expires_in": float("nan")}])
def test_tokens_that_cannot_be_made(identity: Identity, options: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid):
        identity.mint(**options)


def test_unsigned_tokens(identity: Identity, key: SigningKey) -> None:
    claims = {"aud": DATA_AUDIENCES[0], "exp": 9999999999, "oid": DEFAULT_OID}
    for algorithm in ("none", "None", "NONE", None):
        header = {"alg": algorithm, "kid": key.kid}
        assert "alg none" in refusal(identity, f"Bearer {encode(header)}.{encode(claims)}.")


def test_the_public_key_is_no_hmac_secret(identity: Identity, key: SigningKey) -> None:
    header = {"alg": "HS256", "kid": key.kid}
    assert "signed with 'HS256'" in refusal(identity, f"Bearer {encode(header)}.{encode({})}.eA")


def test_a_stranger_key(identity: Identity, clock: VirtualClock, key: SigningKey) -> None:
    foreign = Identity(OTHER_KEY, clock).mint()
    assert "unknown signing key" in refusal(identity, f"Bearer {foreign}")
    claims = jwt.decode(foreign, options={"verify_signature": False})
    forged = jwt.encode(claims, OTHER_KEY.private, algorithm="RS256", headers={"kid": key.kid})
    assert refusal(identity, f"Bearer {forged}") == "bad signature"


def test_every_other_byte_of_a_token_counts(identity: Identity) -> None:
    token = identity.mint()
    identity.authenticate(f"Bearer {token}")
    for index in range(0, len(token) - 1, 37):
        other = "A" if token[index] != "A" else "B"
        refusal(identity, f"Bearer {token[:index]}{other}{token[index + 1 :]}")


def test_expiry_follows_the_clock_also_for_remembered_tokens(identity: Identity, clock: VirtualClock) -> None:
    header = f"Bearer {identity.mint(expires_in=100)}"
    identity.authenticate(header)
    clock.advance(99)
    identity.authenticate(header)
    clock.advance(1)
    assert "token expired 0 ms ago" in refusal(identity, header)
    clock.advance(41)
    assert "token expired 41 s ago" in refusal(identity, header)


def test_leeway(key: SigningKey, clock: VirtualClock) -> None:
    identity = Identity(key, clock, leeway=300)
    header = f"Bearer {identity.mint(expires_in=100)}"
    clock.advance(399)
    identity.authenticate(header)
    clock.advance(1)
    assert "expired 300 s" in refusal(identity, header)


@pytest.mark.parametrize("plane", Plane)
@pytest.mark.parametrize("slash", ["", "/"])
def test_audiences_of_each_plane(identity: Identity, plane: Plane, slash: str) -> None:
    for audience in DATA_AUDIENCES + ARM_AUDIENCES:
        header = f"Bearer {identity.mint(audience=audience + slash)}"
        if audience in plane.audiences:
            identity.authenticate(header, plane)
        else:
            reason = refusal(identity, header, plane)
            assert repr(audience + slash) in reason
            assert all(name in reason for name in plane.audiences)


def test_a_token_remembered_on_one_plane_is_no_pass_to_the_other(identity: Identity) -> None:
    header = f"Bearer {identity.mint()}"
    identity.authenticate(header, Plane.DATA)
    assert "wrong audience" in refusal(identity, header, Plane.ARM)


@pytest.mark.parametrize(
    "audience", [None, 7, [], ["https://other"], {"a": 1}, "https://dynamicsessions.io//"]
)
def test_what_is_no_audience(audience: Any) -> None:
    assert not accepts(Plane.DATA, audience)
    assert accepts(Plane.DATA, ["https://other", "https://acasessions.io/"])


@pytest.mark.parametrize(
    ("scope", "audience"),
    [
        ("https://dynamicsessions.io/.default", "https://dynamicsessions.io"),
        ("https://dynamicsessions.io//.default", "https://dynamicsessions.io/"),
        ("https://dynamicsessions.io/.default openid profile offline_access", "https://dynamicsessions.io"),
        ("openid https://management.core.windows.net//.default", "https://management.core.windows.net/"),
        ("https://dynamicsessions.io", "https://dynamicsessions.io"),
        ("openid", "openid"),
    ],
)
def test_the_audience_a_scope_asks_for(scope: str, audience: str) -> None:
    assert resource_of(scope) == audience


def test_claims_mode_takes_any_signer_and_checks_the_rest(key: SigningKey, clock: VirtualClock) -> None:
    lax = Identity(key, clock, mode="claims")
    foreign = Identity(OTHER_KEY, clock)
    assert lax.authenticate(f"Bearer {foreign.mint(oid='abroad')}").foreign
    assert lax.authenticate(f"Bearer {foreign.mint(invalid='signature')}").oid == DEFAULT_OID
    for invalid in ("audience", "expired", "nbf"):
        refusal(lax, f"Bearer {foreign.mint(invalid=invalid)}")
    unsigned = (
        f"{encode({'alg': 'none'})}.{encode({'aud': DATA_AUDIENCES[0], 'exp': 9999999999, 'oid': 'x'})}."
    )
    assert "alg none" in refusal(lax, f"Bearer {unsigned}")


@pytest.mark.parametrize("header", [None, "garbage", "Bearer x"])
def test_off_means_off(key: SigningKey, clock: VirtualClock, header: str | None) -> None:
    assert Identity(key, clock, mode="off").authenticate(header).oid == DEFAULT_OID


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": None}, "no usable exp"),
        ({"exp": "tomorrow"}, "no usable exp"),
        ({"exp": True}, "no usable exp"),
        ({"exp": float("nan")}, "no usable exp"),
        ({"nbf": "x"}, "no usable nbf"),
        ({"oid": None, "sub": None}, "names no principal"),
        ({"oid": 7}, "names no principal"),
        ({"aud": None}, "wrong audience None"),
        ({"exp": -(10**400)}, "expired"),
    ],
)
def test_claims_of_no_use(key: SigningKey, clock: VirtualClock, claims: dict[str, Any], reason: str) -> None:
    usual = {"aud": DATA_AUDIENCES[0], "exp": clock.now() + 60, "oid": "x", "sub": "x"}
    token = jwt.encode(usual | claims, key.private, algorithm="RS256", headers={"kid": key.kid})
    lax = Identity(key, clock, mode="claims")  # PyJWT itself refuses some of these; the reason is ours
    assert reason in refusal(lax, f"Bearer {token}")


def test_a_time_no_float_can_hold(key: SigningKey, clock: VirtualClock) -> None:
    claims = {"aud": DATA_AUDIENCES[0], "exp": 10**400, "oid": "x"}
    token = jwt.encode(claims, key.private, algorithm="RS256", headers={"kid": key.kid})
    assert Identity(key, clock).authenticate(f"Bearer {token}").oid == "x"


def test_remembering_is_bounded(key: SigningKey, clock: VirtualClock, identity: Identity) -> None:
    verifier = Verifier([key], clock, mode=Mode.STRICT, anonymous=Principal("a"), remembered=3)
    headers = [f"Bearer {identity.mint(oid=str(number))}" for number in range(5)]
    for _ in range(2):
        assert [verifier.verify(header).oid for header in headers] == ["0", "1", "2", "3", "4"]
    assert len(verifier._known) == 3


@given(st.text())
def test_no_header_raises_anything_but_401(text: str) -> None:
    for mode in ("strict", "claims"):
        identity = Identity(OTHER_KEY, VirtualClock(), mode=mode)
        for header in (
            text,
            f"Bearer {text}",
            f"Bearer {encode(text.encode())}.{encode(text.encode())}.{text}",
        ):
            with pytest.raises(Unauthenticated):
                identity.authenticate(header)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), JSON),
    st.dictionaries(
        st.sampled_from(["aud", "exp", "nbf", "oid", "sub", "appid", "tid", "emulator_role"]), JSON
    ),
)
def test_no_token_raises_anything_but_401(header: dict[str, Any], claims: dict[str, Any]) -> None:
    for mode in ("strict", "claims"):
        for kid in ({}, {"kid": OTHER_KEY.kid, "alg": "RS256"}):
            identity = Identity(OTHER_KEY, VirtualClock(), mode=mode)
            try:
                identity.authenticate(f"Bearer {encode(header | kid)}.{encode(claims)}.AAAA")
            except Unauthenticated as error:
                assert error.reason
            else:
                assert mode == "claims"
