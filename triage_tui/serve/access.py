"""Who may reach the app: whoever holds the key that was printed, from this machine, by its own address.

The key is in the printed address once; the first page turns it into a cookie. A site that a person visits
can make their browser send requests here, so neither an address that only leads here by a name of that site
(DNS rebinding, told by the Host header) nor a page of another origin (told by Origin) is served.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field

PARAMETER = "key"
"""Name of the key in the query of the printed address."""

# Any port: a tunnel (`ssh -L`) has its own.
_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.ASCII | re.IGNORECASE)


def is_loopback(host: str | None) -> bool:
    """Whether a Host header names this machine to itself."""
    return host is not None and _LOOPBACK.fullmatch(host) is not None


def is_same_origin(origin: str | None, host: str) -> bool:
    """Whether an Origin header is that of pages served by `host`; none at all is not."""
    return origin is not None and origin.lower() == f"http://{host}".lower()


@dataclass(frozen=True)
class Key:
    """A secret that is made for one server and ends with it."""

    value: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    def fits(self, offered: str | None) -> bool:
        """Whether this is what was offered; takes as long for any that is not."""
        return offered is not None and hmac.compare_digest(
            offered.encode("utf-8", "surrogatepass"), self.value.encode()
        )


def policy(host: str) -> str:
    """Return the Content-Security-Policy of a page of `host`: nothing from elsewhere, no script in the page.

    The page's terminal writes its style sheet into the page.
    """
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
        f"img-src 'self' data:; connect-src 'self' ws://{host}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def headers(host: str) -> dict[str, str]:
    """Return what every answer carries; `host` is a checked Host header."""
    return {
        "Content-Security-Policy": policy(host),
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "Server": "triage-tui",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
