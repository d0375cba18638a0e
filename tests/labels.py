"""What cases are called: alike in every process that shares the tests, without addresses."""

import re


def label(value):
    return re.sub(r"<(?:function )?(\S+).*? at 0x[0-9a-f]+>", r"\1", repr(value))
