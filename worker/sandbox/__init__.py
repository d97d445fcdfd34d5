"""The four providers, pretended: an independent reading of their documents, with faults on demand.

Imports the standard library and aiohttp alone, nothing of the worker: so a misreading there cannot be
cancelled here.
"""

from worker.sandbox.app import Sandbox
from worker.sandbox.canary_speech import CanarySpeech
from worker.sandbox.faults import Fault, Rule
from worker.sandbox.gateway360 import Gateway360
from worker.sandbox.phone_com import PhoneCom
from worker.sandbox.postcode_eu import PostcodeEu
from worker.sandbox.provider import Operation
from worker.sandbox.serve import serve
from worker.sandbox.state import Account, Creates, ReceivedRequest

__all__ = [
    "Account",
    "CanarySpeech",
    "Creates",
    "Fault",
    "Gateway360",
    "Operation",
    "PhoneCom",
    "PostcodeEu",
    "ReceivedRequest",
    "Rule",
    "Sandbox",
    "serve",
]
