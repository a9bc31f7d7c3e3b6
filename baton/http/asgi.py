"""What uvicorn makes of a request that goes to the ASGI side, made here: its protocol would begin
it before the limits and the order of answers were looked at.
"""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from baton.http.heads import located


def cycle(
    connection: HttpToolsProtocol, keep_alive: bool, on_response: Callable[[], None]
) -> RequestResponseCycle:
    """The cycle of the request whose head the connection has read; it is the connection's now."""
    target, headers = connection.url, connection.headers
    expected = connection.expect_100_continue
    HttpToolsProtocol.on_message_begin(connection)  # for its scope; it forgets what came already
    connection.url, connection.expect_100_continue = target, expected
    connection.headers.extend(headers)
    version, scope = connection.parser.get_http_version(), connection.scope
    scope["method"] = connection.parser.get_method().decode("ascii")
    scope["http_version"] = version
    scope["path"], scope["raw_path"], scope["query_string"] = located(target)
    connection.cycle = RequestResponseCycle(
        scope=scope,
        transport=connection.transport,
        flow=connection.flow,
        logger=connection.logger,
        access_logger=connection.access_logger,
        access_log=False,
        default_headers=connection.server_state.default_headers,
        message_event=asyncio.Event(),
        expect_100_continue=expected,
        keep_alive=version != "1.0" and keep_alive,
        on_response=on_response,
    )
    return connection.cycle
