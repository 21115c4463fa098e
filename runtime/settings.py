"""From the settings of a node to those of its engine. A value module."""

from __future__ import annotations

from perdure.actors.committer import CommitterConfig
from perdure.actors.gate import Limits
from perdure.actors.host import HostConfig
from perdure.actors.recovery import RecoveryConfig
from perdure.actors.reminders import RemindersConfig
from perdure.runtime.config import NodeConfig
from perdure.runtime.engine import EngineConfig
from perdure.runtime.tenure import TenureConfig
from perdure.runtime.workflow.activities.runner import ActivityConfig
from perdure.runtime.workflow.payload import PayloadLimits
from perdure.runtime.workflow.surroundings import WorkflowConfig


def engine_config(config: NodeConfig) -> EngineConfig:
    """The engine's settings, from those of the node."""
    return EngineConfig(
        slots=config.slots,
        call_seconds=config.call_seconds,
        cluster_secret=config.cluster_secret,
        tenure=TenureConfig(
            app_id=config.app_id,
            lease_seconds=config.lease_seconds,
            drain_seconds=config.drain_seconds,
            turns_max=config.workflow_concurrency,
            serves_workers=config.grpc_port is not None,
            turn_limits=Limits(config.cluster_workflows_max, config.workflow_limits),
            host=_host(config),
            committer=CommitterConfig(
                batch_units=config.batch_units,
                batch_bytes=config.batch_bytes,
                heartbeat_seconds=config.heartbeat_seconds,
                self_stop_seconds=0.6 * config.lease_seconds,
            ),
            reminders=RemindersConfig(horizon_seconds=config.reminder_horizon_seconds),
            recovery=RecoveryConfig(scan_seconds=config.recovery_scan_seconds),
            crossing_bytes_max=link_bytes(config),
            activities=_activities(config),
            workflows=_workflows(config),
        ),
    )


def link_bytes(config: NodeConfig) -> int:
    """The longest message between nodes."""
    return 6 * config.max_body_bytes  # A decision of a worker is the longest.


def _host(config: NodeConfig) -> HostConfig:
    return HostConfig(
        mailbox_limit=config.mailbox_limit,
        calls_max=config.calls_max,
        live_actors_max=config.live_actors_max,
        idle_seconds=config.idle_seconds,
        block_warn_seconds=config.block_warn_seconds,
    )


def _activities(config: NodeConfig) -> ActivityConfig:
    return ActivityConfig(
        concurrency=config.activity_concurrency,
        threads=config.activity_threads,
        backlog_max=config.activity_backlog_max,
        result_bytes_max=config.payload_bytes_max,
        limits=Limits(config.cluster_activities_max, config.activity_limits),
    )


def _workflows(config: NodeConfig) -> WorkflowConfig:
    return WorkflowConfig(
        history_events_warn=config.history_events_warn,
        history_events_max=config.history_events_max,
        history_bytes_max=config.history_bytes_max,
        payloads=PayloadLimits(config.payload_bytes_max, config.custom_status_bytes_max),
    )
