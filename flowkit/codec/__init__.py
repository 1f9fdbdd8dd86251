"""Typed JSON: values to readable bodies and back, and exceptions to data and back.

Knows annotations and values, nothing of runs or stores. `coder(annotation)` encodes and decodes;
`signature_coders(fn)` does it for a function; `describe(body)` shows any stored body to people; `snapshot` and
`rebuild` do the same service for errors.
"""

from __future__ import annotations

from flowkit.codec import builtin as builtin  # fills the tables of the tagger, as `records` does
from flowkit.codec.coding import Coder, coder
from flowkit.codec.describe import describe
from flowkit.codec.outside import faults_of, read_outside
from flowkit.codec.plain import MAX_DEPTH
from flowkit.codec.protocol import Codec
from flowkit.codec.signature import SignatureCoders, signature_coders
from flowkit.codec.snapshots import RaisedInfo, decode_error, encode_error, rebuild, snapshot

__all__ = [
    "MAX_DEPTH",
    "Codec",
    "Coder",
    "RaisedInfo",
    "SignatureCoders",
    "coder",
    "decode_error",
    "describe",
    "encode_error",
    "faults_of",
    "read_outside",
    "rebuild",
    "signature_coders",
    "snapshot",
]
