"""Orders as they arrive: words of a path and a JSON body become an Order, or a ValueError that says
all that is wrong with the body.

Forms know one order at a time. Whether it can be carried out is `ryu_apps.core.orders`' to say.
"""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from agents.config_form import LONGEST_DEADLINE, METHODS, MOST_WEIGHT, one_of
from ryu_apps.core.orders import (
    DRAIN,
    PROMOTE,
    UNDRAIN,
    WEIGHT,
    Method,
    NoSuch,
    Order,
)


def _whole(value: object) -> object:
    """JSON has one kind of number: 5.0 is as whole as 5 (JSON Schema core, section 6.3)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Drain(_Form):
    deadline: Annotated[float, Field(ge=0, le=LONGEST_DEADLINE, allow_inf_nan=False)] | None = None


class _Undrain(_Form):
    pass


class _Promote(_Form):
    force: bool = False


class _Weight(_Form):
    weight: Annotated[int, Field(ge=0, le=MOST_WEIGHT), BeforeValidator(_whole)]


class _Method(_Form):
    method: Annotated[str, one_of(*METHODS)]


FORMS: dict[str, type[_Form]] = {
    DRAIN: _Drain,
    UNDRAIN: _Undrain,
    PROMOTE: _Promote,
    WEIGHT: _Weight,
}


def order(verb: str, unit: str, body: bytes) -> Order:
    """An order about a unit. NoSuch if there is none of that name, or the unit's id is none."""
    if verb not in FORMS:
        raise NoSuch(f"{verb!r} is not one of {', '.join(FORMS)}")
    if not re.fullmatch("[1-9][0-9]{0,2}", unit):
        raise NoSuch(f"{unit!r} is not a unit's id")
    return Order(verb, int(unit), **_filled(FORMS[verb], body).model_dump())


def method(body: bytes) -> Method:
    """The order to share sessions out by another method."""
    return Method(**_filled(_Method, body).model_dump())


def _filled(form: type[_Form], body: bytes) -> _Form:
    """No body is an empty object."""
    try:
        return form.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise ValueError("; ".join(map(_words, error.errors()))) from error


def _words(fault: ErrorDetails) -> str:
    path = ".".join(map(str, fault["loc"])) or "the body"
    ours = fault["type"] == "value_error"  # of a validator that isn't pydantic's
    return f"{path}: {fault['ctx']['error'] if ours else fault['msg']}"
