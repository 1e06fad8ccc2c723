# SPDX-License-Identifier: Apache-2.0
"""The SDK's server with errors of our own kind: one line, of use to a client, and with no path of this host."""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp_types import CallToolResult, InputRequiredResult
from pydantic import ValidationError

from control_plane.mcp.data import one_line
from control_plane.mcp.limits import ANSWER_BYTES, ERROR_CHARACTERS
from policy_lake.errors import InputError, SchedcpError


class Server(MCPServer[Any]):
    """An MCP server of which an error is one line of ours, and an answer no larger than allowed."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """See MCPServer; ToolError in one line for whatever goes wrong."""
        known = {tool.name: tool.input_schema["properties"] for tool in await self.list_tools()}
        if name not in known:
            raise ToolError(f"there is no tool '{one_line(name, 60)}': {', '.join(known)}")
        if unknown := arguments.keys() - known[name].keys():
            raise ToolError(f"{name} takes no '{one_line(min(unknown), 60)}': {', '.join(known[name]) or 'nothing'}")
        try:
            result = await super().call_tool(name, arguments, context)
        except ToolError as error:
            raise _told(name, error) from error.__cause__
        size = len(result.model_dump_json())
        if size > ANSWER_BYTES:
            raise ToolError(f"{name}: the answer has {size} bytes, more than {ANSWER_BYTES}: ask for less")
        return result


def _told(name: str, error: ToolError) -> ToolError:
    cause = error.__cause__
    if isinstance(cause, ValidationError) and not isinstance(error, UnexpectedToolError):
        first = cause.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        return ToolError(one_line(f"{name}: {place[:200]}: {first['msg']}", ERROR_CHARACTERS))
    if isinstance(cause, SchedcpError):
        kind = "" if isinstance(cause, InputError) else "this machine, not the policy: "
        return ToolError(one_line(f"{name}: {kind}{cause}", ERROR_CHARACTERS))
    return error  # a fault of ours: the SDK's words for it name the tool alone, and its log has the rest
