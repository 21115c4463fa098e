import dataclasses
from pathlib import Path
from typing import Any

import pytest

from perdure.runtime.config import ConfigError, Durability, NodeConfig, WorkerDialect
from perdure.runtime.config_reading import load


def test_the_defaults_go_together() -> None:
    config = load({}, {})
    assert config == NodeConfig()
    assert (config.host, config.port, config.store) == ("127.0.0.1", 3500, Path("perdure.db"))
    assert config.heartbeat_seconds * 4 <= config.lease_seconds


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    file = tmp_path / "perdure.toml"
    file.write_text('port = 1\nslots = 1\nlease_seconds = "3s"\nstore = "file.db"\n')
    env = {"PERDURE_PORT": "2", "PERDURE_SLOTS": "2", "HOME": "/", "PERDURE_HOST": " "}
    config = load({"port": 3, "slots": None}, env, file)
    assert (config.port, config.slots, config.lease_seconds) == (3, 2, 3.0)
    assert (config.store, config.host) == (Path("file.db"), "127.0.0.1")


def test_a_caller_may_have_other_defaults_which_any_word_of_the_user_beats(tmp_path: Path) -> None:
    file = tmp_path / "perdure.toml"
    file.write_text("kill_stuck_writer = false\n")
    defaults = {"kill_stuck_writer": True}
    assert load({}, {}, None, defaults).kill_stuck_writer
    assert not load({}, {}, file, defaults).kill_stuck_writer
    assert not load({}, {"PERDURE_KILL_STUCK_WRITER": "no"}, None, defaults).kill_stuck_writer


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("lease_seconds", "5", 5.0),
        ("lease_seconds", "5s", 5.0),
        ("idle_seconds", "500ms", 0.5),
        ("idle_seconds", "1h30m", 5400.0),
        ("drain_seconds", "0", 0.0),
        ("batch_bytes", "4194304", 4 << 20),
        ("batch_bytes", "4MiB", 4 << 20),
        ("batch_bytes", "1.5 kib", 1536),
        ("history_bytes_max", "2GB", 2 * 10**9),
        ("mailbox_limit", "1_000", 1000),
        ("insecure", "yes", True),
        ("insecure", "FALSE", False),
        ("durability", "NORMAL", Durability.NORMAL),
        ("store", "/data/x.db", Path("/data/x.db")),
        ("app_id", "shop", "shop"),
        ("allowed_hosts", "my.laptop, other", ("my.laptop", "other")),
        ("connections_max", "50", 50),
        ("cluster_activities_max", "0", None),
        ("grpc_port", "0", 0),
        ("grpc_port", "50001", 50001),
        ("worker_dialect", "Microsoft", WorkerDialect.MICROSOFT),
    ],
)
def test_text_is_read_in_the_unit_of_its_setting(name: str, text: str, value: Any) -> None:
    assert getattr(load({name: text}, {}), name) == value
    assert getattr(load({}, {f"PERDURE_{name.upper()}": text}), name) == value


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"PERDURE_PORT": "http"}, "PERDURE_PORT: expected a whole number, found 'http'"),
        ({"PERDURE_LEASE_SECONDS": "5 parsecs"}, "PERDURE_LEASE_SECONDS: expected a duration"),
        ({"PERDURE_LEASE_SECONDS": "m5s"}, "expected a duration like 5, 5s"),
        ({"PERDURE_BATCH_BYTES": "4M"}, "expected a size like 4194304, 4MiB or 4MB, found '4M'"),
        ({"PERDURE_INSECURE": "maybe"}, "expected true or false, found 'maybe'"),
        ({"PERDURE_DURABILITY": "some"}, "expected full or normal, found 'some'"),
        (
            {"PERDURE_WORKER_DIALECT": "daper"},
            "PERDURE_WORKER_DIALECT: expected auto, dapr or microsoft, found 'daper'; "
            "did you mean dapr?",
        ),
        ({"PERDURE_WORKER_DIALECT": "?"}, "expected auto, dapr or microsoft, found '?'"),
        ({"PERDURE_GRPC_PORT": "on"}, "PERDURE_GRPC_PORT: expected a whole number, found 'on'"),
        ({"PERDURE_PROT": "1"}, "PERDURE_PROT is not a setting; did you mean PERDURE_PORT?"),
        ({"PERDURE_XYZZY": "1"}, "PERDURE_XYZZY is not a setting; the settings are app_id, "),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(env: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, env)
    assert message in str(caught.value)


def test_the_address_that_clients_use_is_no_setting_of_the_node() -> None:
    assert load({}, {"PERDURE_URL": "http://elsewhere"}) == NodeConfig()


DAPR_PORTS = {"DAPR_HTTP_PORT": "3501", "DAPR_GRPC_PORT": "50002"}


def test_a_node_in_the_place_of_a_sidecar_listens_where_programs_look_for_dapr(
    tmp_path: Path,
) -> None:
    file = tmp_path / "perdure.toml"
    file.write_text("port = 1\ngrpc_port = 0\n")

    def ports(flags: dict[str, Any], env: dict[str, str]) -> tuple[int, int | None]:
        config = load(flags, env, file, {"grpc_port": 50001}, in_place_of_sidecar=True)
        return config.port, config.grpc_port

    assert ports({}, {"DAPR_GRPC_PORT": ""}) == (1, 0)
    assert ports({}, DAPR_PORTS) == (3501, 50002)
    ours = {**DAPR_PORTS, "PERDURE_GRPC_PORT": "50003"}
    assert ports({}, ours) == (3501, 50003)
    assert ports({"grpc_port": "50004"}, ours) == (3501, 50004)


def test_another_node_leaves_the_ports_of_dapr_to_dapr() -> None:
    assert load({}, DAPR_PORTS) == NodeConfig()


def test_a_port_of_dapr_that_is_none_is_named_by_its_variable() -> None:
    with pytest.raises(ConfigError, match="DAPR_GRPC_PORT: expected a whole number, found 'x'"):
        load({}, {"DAPR_GRPC_PORT": "x"}, in_place_of_sidecar=True)


def test_the_token_may_come_by_daprs_variable_and_is_not_shown() -> None:
    assert load({}, {"DAPR_API_TOKEN": "d"}).api_token == "d"
    config = load({}, {"DAPR_API_TOKEN": "d", "PERDURE_API_TOKEN": "s3cret"})
    assert config.api_token == "s3cret"
    assert "s3cret" not in repr(config)


def test_two_tokens_are_good_while_the_clients_change_over() -> None:
    assert load({}, {}).api_tokens == ()
    assert load({}, {"DAPR_API_TOKEN": "d\n"}).api_tokens == ("d",)
    config = load({}, {"PERDURE_API_TOKEN": "new", "PERDURE_API_TOKEN_PREVIOUS": "s3cret"})
    assert config.api_tokens == ("new", "s3cret")
    assert "s3cret" not in repr(config)


@pytest.mark.parametrize("token", ["", " ", "a b", "größe", "a\n"])
def test_a_token_that_no_client_could_send_is_refused_and_not_shown(token: str) -> None:
    for name in ("api_token", "api_token_previous"):
        tokens: dict[str, Any] = {"api_token": "t", name: token}
        with pytest.raises(ConfigError, match=rf"^{name} must be printable ASCII") as caught:
            NodeConfig(**tokens)
        assert token.strip() == "" or token not in str(caught.value)
    with pytest.raises(ConfigError, match="api_token_previous is set, but not the api_token"):
        NodeConfig(api_token_previous="old")


def test_a_list_of_the_file_is_a_list(tmp_path: Path) -> None:
    file = tmp_path / "perdure.toml"
    file.write_text('allowed_hosts = ["my.laptop", "other"]')
    assert load({}, {}, file).allowed_hosts == ("my.laptop", "other")
    file.write_text("allowed_hosts = [1]")
    with pytest.raises(ConfigError, match=r"allowed_hosts must be of type tuple\[str, \.\.\.\]"):
        load({}, {}, file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = 'x", "is not valid TOML"),
        ("prot = 1", "perdure.toml: prot is not a setting; did you mean port?"),
        ("[node]\nport = 1", "settings stand at the top level, found the table [node]"),
        ("port = 1.5", "port must be of type int, found 1.5"),
        ("lease_seconds = '?'", "perdure.toml: lease_seconds: expected a duration"),
    ],
)
def test_a_faulty_file_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "perdure.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load({}, {}, file)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml: No such file"):
        load({}, {}, tmp_path / "none.toml")


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="--live-actor-max is not a setting; did you mean --live-actors-max"
    ):
        load({"live_actor_max": 1}, {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"port": "3500"}, "port must be of type int, found '3500'"),
        ({"port": True}, "port must be of type int, found True"),
        ({"port": -1}, "port must not be negative, found -1"),
        ({"connections_max": 0}, "connections_max must be above 0, found 0"),
        ({"port": 70_000}, "port must be at most 65535"),
        ({"grpc_port": -1}, "grpc_port must not be negative, found -1"),
        ({"grpc_port": 70_000}, "grpc_port must be at most 65535"),
        ({"grpc_port": 3500}, "port and grpc_port are both 3500: each needs one of its own"),
        ({"worker_dialect": "dapr"}, "worker_dialect must be of type WorkerDialect, found 'dapr'"),
        ({"slots": 0}, "slots must be above 0, found 0"),
        ({"slots": 70_000}, "slots must be at most 65536"),
        ({"lease_seconds": float("nan")}, "lease_seconds must be a finite number"),
        ({"drain_seconds": -1.0}, "drain_seconds must not be negative"),
        ({"app_id": "a b"}, "app_id must be 1 to 64 letters"),
        ({"app_id": ""}, "app_id must be 1 to 64 letters"),
        ({"log_level": "loud"}, "log_level must be one of debug, info"),
        ({"lease_seconds": 0.5}, "block_warn_seconds (0.5) must be below lease_seconds (0.5)"),
        (
            {"custom_status_bytes_max": 3 << 20},
            "custom_status_bytes_max (3145728) must not be above payload_bytes_max (2097152)",
        ),
        ({"payload_bytes_max": 5 << 20}, "must not be above max_body_bytes (4194304)"),
        (
            {"history_bytes_max": 1 << 20},
            "payload_bytes_max (2097152) must not be above history_bytes_max (1048576)",
        ),
        (
            {"history_events_max": 5},
            "history_events_warn (10000) must not be above history_events_max (5)",
        ),
        ({"mailbox_limit": 30_000}, "mailbox_limit (30000) must not be above calls_max (5000)"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        NodeConfig(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_other_machines_are_let_in_only_with_a_token_or_on_request(host: str) -> None:
    with pytest.raises(ConfigError, match=r"can be reached from other machines.*PERDURE_API_TOKEN"):
        NodeConfig(host=host)
    NodeConfig(host=host, api_token="t")
    NodeConfig(host=host, insecure=True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", ""])
def test_nobody_is_told_to_come_to_an_address_that_is_none(host: str) -> None:
    with pytest.raises(ConfigError, match="is no address of this machine"):
        NodeConfig(peer_host=host, cluster_secret="s")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_this_machine_needs_no_token(host: str) -> None:
    assert NodeConfig(host=host).host == host


def test_a_config_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        NodeConfig().port = 1  # type: ignore[misc]
