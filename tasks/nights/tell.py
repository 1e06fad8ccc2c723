# SPDX-License-Identifier: Apache-2.0
"""Who is told: events of nights and rollouts, and the automations of Prefect's server that send them on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from policy_lake.errors import InputError
from policy_lake.night import NightChange
from policy_lake.show import for_terminal, is_utf8, shortened
from tasks.run.certainty import ratio_text

ENDED = "schedcp.night.ended"
# By what an automation is named after: the event that it waits for, and what the message begins with.
KINDS = {
    "win": ("schedcp.night.win", "schedcp: a win"),
    "regression": ("schedcp.night.regression", "schedcp: a regression"),
    "failure": ("schedcp.night.failure", "schedcp: a night failed"),
    "revert": ("schedcp.rollout.reverted", "schedcp: a policy was taken back"),
}
SILENCE = "silence"
SILENT_H = 36
BLOCK = "schedcp-webhook"
MOST_TEXT = 1000


def words_of(change: NightChange) -> str:
    """A night in one line for whoever is told."""
    night, before = change.night, change.before
    if night.failed:
        return f"{night.workload}: {shortened(night.failed, 300)}"
    ratio = ratio_text(night.ratio) if night.ratio else "nothing that may run"
    was = f"; before: {before.policy} {ratio_text(before.ratio)}" if before and before.ratio else ""
    changed = ", ".join(f"{name} {old or 'none'} -> {new or 'none'}" for name, (old, new) in change.changed.items())
    return f"{night.workload}: {night.policy} {ratio}{was}{f'; changed: {changed}' if changed else ''}"


def tell_night(change: NightChange) -> None:
    """Send a night's event to Prefect's server: that it ended, and what news it is."""
    _emit(ENDED, f"schedcp.workload.{change.night.workload}", words_of(change))
    if change.kind in KINDS:
        _emit(KINDS[change.kind][0], f"schedcp.workload.{change.night.workload}", words_of(change))


def tell_failure(workload: str, why: str) -> None:
    """A night of this workload came to nothing, or was never begun."""
    _emit(KINDS["failure"][0], f"schedcp.workload.{workload}", f"{workload}: {why}")
    _emit(ENDED, f"schedcp.workload.{workload}", f"{workload}: {why}")


def tell_revert(rollout: str, why: str) -> None:
    """A rollout took its policy back."""
    _emit(KINDS["revert"][0], f"schedcp.rollout.{rollout}", f"rollout {rollout}: {why}")


def _emit(event: str, resource: str, text: str) -> None:
    from prefect.events import emit_event

    said = shortened(for_terminal(text), MOST_TEXT)
    emit_event(event, resource={"prefect.resource.id": for_terminal(resource)[:200]}, payload={"text": said})


def check_url(url: str) -> None:
    """InputError for what is no address of a webhook."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and is_utf8(url)
    except ValueError:
        good = False
    if not good or len(url) > 2000:
        raise InputError(f"--webhook {shortened(url, 80)}: not an http:// or https:// address")


def make_automations(url: str, *, silent: timedelta = timedelta(hours=SILENT_H)) -> list[str]:
    """One automation a kind of news on the server at PREFECT_API_URL, those of before replaced; their names.

    Each posts JSON of `subject` and `text` to the webhook. Mail and chat come by what such a webhook leads to.
    """
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.client.orchestration import get_client
    from prefect.events.actions import SendNotification

    check_url(url)
    json_data = {"subject": "{{subject}}", "text": "{{body}}"}
    block: Any = CustomWebhookNotificationBlock(
        name="schedcp", url=url, json_data=json_data, headers=None, cookies=None
    )
    document = block.save(BLOCK, overwrite=True)
    made = []
    with get_client(sync_client=True) as client:
        for name, (trigger, subject, body) in _triggers(silent).items():
            for old in client.read_automations_by_name(f"schedcp-{name}"):
                client.delete_automation(old.id)
            action = SendNotification(block_document_id=document, subject=subject, body=body)
            client.create_automation(_automation(f"schedcp-{name}", trigger, action))
            made.append(f"schedcp-{name}")
    return made


def _automation(name: str, trigger: Any, action: Any) -> Any:
    from prefect.events.schemas.automations import AutomationCore

    return AutomationCore(name=name, description="made by `schedcp nights notify`", trigger=trigger, actions=[action])


def _triggers(silent: timedelta) -> dict[str, tuple[Any, str, str]]:
    from prefect.events.schemas.automations import EventTrigger, Posture

    found: dict[str, tuple[Any, str, str]] = {}
    for name, (event, subject) in KINDS.items():
        trigger = EventTrigger(expect={event}, posture=Posture.Reactive, threshold=1)
        found[name] = (trigger, subject, "{{ event.payload.text }}")
    missed = EventTrigger(expect={ENDED}, posture=Posture.Proactive, threshold=1, within=silent)
    found[SILENCE] = (missed, "schedcp: silence", f"no night has ended for {silent.total_seconds() / 3600:g} hours")
    return found
