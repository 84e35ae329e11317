"""Subnets: one a session, none that somebody else uses, all of them again once they are given back."""

from __future__ import annotations

import ipaddress

import pytest

from emulator.runtimes.base import RuntimeFailure
from emulator.runtimes.subnets import Subnets


def networks(*texts: str) -> list[ipaddress.IPv4Network]:
    return [ipaddress.IPv4Network(text) for text in texts]


def test_each_is_handed_out_once_and_again_after_it_was_given_back() -> None:
    subnets = Subnets("10.9.0.0/28", list)
    first, second = subnets.take(), subnets.take()
    assert {str(first), str(second)} == {"10.9.0.0/29", "10.9.0.8/29"}
    with pytest.raises(RuntimeFailure, match=r"10\.9\.0\.0/28: 2 are in use here, 0 by others"):
        subnets.take()
    subnets.give_back(str(first))
    subnets.give_back(str(first))  # again: nothing happens
    assert subnets.take() == first


def test_what_others_use_is_passed_over_until_they_are_gone() -> None:
    others = networks("10.9.0.0/30", "10.9.0.16/28")
    subnets = Subnets("10.9.0.0/27", lambda: others)
    assert str(subnets.take()) == "10.9.0.8/29"
    with pytest.raises(RuntimeFailure, match="3 by others on this machine"):
        subnets.take()
    others.clear()
    assert str(subnets.take()) == "10.9.0.0/29"


def test_routes_wider_than_the_range_do_not_count() -> None:
    subnets = Subnets("10.9.0.0/24", lambda: networks("0.0.0.0/0", "10.0.0.0/8"))
    assert str(subnets.take()) == "10.9.0.0/29"


def test_what_the_engine_refuses_is_tried_last() -> None:
    subnets = Subnets("10.9.0.0/28", list)
    subnets.skip(str(subnets.take()))
    assert str(subnets.take()) == "10.9.0.8/29"


def test_what_an_earlier_process_took_is_not_handed_out() -> None:
    subnets = Subnets("10.9.0.0/28", list)
    subnets.reserve("10.9.0.0/29")
    assert str(subnets.take()) == "10.9.0.8/29"
