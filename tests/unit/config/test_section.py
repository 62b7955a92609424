import pytest
from pydantic import TypeAdapter, ValidationError

from rnnlane.config.section import Location, Section

LOCATION = TypeAdapter(Location)


class Example(Section):
    size: int = 1


@pytest.mark.parametrize(
    "address",
    [
        "s3://user:secret@bucket/x",
        "s3://bucket/x?access_key=a&secret_key=b",
        "abfs://x?sig=abc",
        "s3://bucket/x?Password=p",
    ],
)
def test_an_address_with_credentials_is_refused(address):
    with pytest.raises(ValidationError, match="may not hold credentials"):
        LOCATION.validate_python(address)


@pytest.mark.parametrize("address", ["", "  ", "a\0b", "a\nb", "caf\udce9.csv"])
def test_an_address_that_cannot_be_opened_or_shown_is_refused(address):
    with pytest.raises(ValidationError, match="must"):
        LOCATION.validate_python(address)


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket/x?endpoint_override=https://host:9000&region=eu",
        "/data/user@host/x",
        "data/part-*.csv",
    ],
)
def test_other_addresses_are_kept_as_they_are(address):
    assert LOCATION.validate_python(address) == address


def test_a_section_is_frozen_and_refuses_unknown_keys():
    with pytest.raises(ValidationError, match="frozen"):
        Example().size = 2
    with pytest.raises(ValidationError, match="Extra inputs"):
        Example(sizes=2)
