"""Azure's regions as the service writes them back: `eastus` → `East US`."""

from __future__ import annotations

from typing import Final

DISPLAY_NAMES: Final = (
    "Australia East",
    "Australia Southeast",
    "Brazil South",
    "Canada Central",
    "Canada East",
    "Central India",
    "Central US",
    "East Asia",
    "East US",
    "East US 2",
    "France Central",
    "Germany West Central",
    "Italy North",
    "Japan East",
    "Japan West",
    "Jio India West",
    "Korea Central",
    "North Central US",
    "North Central US (Stage)",
    "North Europe",
    "Norway East",
    "Poland Central",
    "South Africa North",
    "South Central US",
    "South India",
    "Southeast Asia",
    "Spain Central",
    "Sweden Central",
    "Switzerland North",
    "UAE North",
    "UK South",
    "UK West",
    "West Central US",
    "West Europe",
    "West US",
    "West US 2",
    "West US 3",
)


def normal_name(location: str) -> str:
    """A location as ARM compares it: lower case, without blanks and brackets."""
    return "".join(sign for sign in location.lower() if sign.isalnum())


_BY_NAME: Final = {normal_name(name): name for name in DISPLAY_NAMES}


def display_name(location: str) -> str:
    """`location` in display form; a name that is no region of Azure's stays as it is."""
    return _BY_NAME.get(normal_name(location), location)
