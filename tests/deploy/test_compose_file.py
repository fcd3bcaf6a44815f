"""The compose file as an auditor reads it: hardening, health, order, limits, defaults, ports, against the wire contract."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from sb_core import settings
from sb_core.topics import SPORTS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
FILE = yaml.safe_load(TEXT)
SERVICES = FILE["services"]
ENGINES = {"kafka", "mysql", "redis"}
JOBS = {"migrate", "topics"}
PROCESSORS = {f"data-processing-{sport}" for sport in SPORTS}
APPS = {"feed-ingestion", "data-distribution", "feed-generator", *PROCESSORS}
PORTS = {service: [4101 + n] for n, service in enumerate(f"data-processing-{sport}" for sport in SPORTS)} | {
    "feed-ingestion": [4000],
    "data-distribution": [4002, 4003],
    "feed-generator": [4004],
    "kafka": [9092],
    "redis": [6379],
    "mysql": [3307],
}
MENTIONED = re.compile(r"(?<!\$)\$(?:\{(\w+)([^}]*)|(\w+))")


class Resetting(yaml.SafeLoader):
    """Knows compose's `!reset`."""


Resetting.add_constructor("!reset", lambda loader, node: ("reset", loader.construct_sequence(node)))


def test_the_services_are_those_of_the_contract():
    assert set(SERVICES) == ENGINES | JOBS | APPS


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_nothing_can_do_more_than_it_must(name):
    service = SERVICES[name]
    uid = service["user"].split(":")[0]
    assert uid.isdecimal(), "a name may mean root in another image"
    assert int(uid) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    for key in ("cap_add", "privileged", "network_mode", "pid", "ipc", "devices", "container_name"):
        assert key not in service
    assert not [volume for volume in service.get("volumes", ()) if volume.startswith(("/", ".", "~"))]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert all("size=" in each for each in service.get("tmpfs", ()))
    assert service["ulimits"]["nofile"] >= 16_384


def test_what_goes_on_by_itself():
    for name, service in SERVICES.items():
        assert service["restart"] == ("on-failure:5" if name in JOBS else "unless-stopped"), name
        assert ("healthcheck" in service) is (name not in JOBS), name


@pytest.mark.parametrize("name", sorted(APPS))
def test_a_service_waits_for_what_it_needs_and_has_the_time_to_stop(name):
    needs = {each: how["condition"] for each, how in SERVICES[name]["depends_on"].items()}
    for engine in ENGINES:
        assert needs[engine] == "service_healthy"
    for job in JOBS:
        assert needs[job] == "service_completed_successfully"
    grace_s = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace_s > settings.Settings().stop_deadline_s


def test_jobs_wait_for_their_engine_only():
    assert SERVICES["migrate"]["depends_on"] == {"mysql": {"condition": "service_healthy"}}
    assert SERVICES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - JOBS))
def test_ports_are_those_of_the_contract_on_loopback(name):
    published = []
    for port in SERVICES[name]["ports"]:
        host, _, rest = port.partition(":")
        assert host == "127.0.0.1"
        found = re.fullmatch(r"\$\{PORT_(\d+):-(\d+)\}:.*", rest)
        assert found[1] == found[2]
        published.append(int(found[1]))
    assert published == PORTS[name]


def test_every_variable_has_a_default():
    found = [match for match in MENTIONED.finditer(TEXT) if not match[0].startswith("$$")]
    assert len(found) > 30
    for match in found:
        assert match[2] is not None, match[0]
        assert match[2].startswith(":-"), match[0]


def test_every_setting_given_is_one():
    known = {each.env for each in settings.SETTINGS}
    assert set(SERVICES["feed-ingestion"]["environment"]) <= known
    environment = {
        key: re.sub(r"\$\{\w+:-(\$\{\w+:-)?([^}]*)\}*", r"\2", value)
        for key, value in SERVICES["feed-ingestion"]["environment"].items()
    }
    loaded = settings.load({**environment, "SB_STORE_URL": "mysql://u:p@mysql:3306/sportsbet"})
    for field in ("log_level", "retention_days", "ts_ahead_ms_max", "lag_ms_max", "process_batch_max"):
        assert getattr(loaded, field) == getattr(settings.Settings(), field), "one default, not two"


def test_images_are_the_official_ones_and_one_of_ours():
    images = {name: service["image"] for name, service in SERVICES.items()}
    assert images.pop("kafka").endswith(":-apache/kafka:4.1.0}")
    assert images.pop("mysql").endswith(":-mysql:8.4}")
    assert images.pop("redis").endswith(":-redis:7.4}")
    assert set(images.values()) == {"${SB_IMAGE:-sportsbet-pipeline:local}"}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "ARG PYTHON_IMAGE=python:3.13-slim" in dockerfile
    assert "\nUSER 10001:10001\n" in dockerfile
    assert not dockerfile.startswith("# syntax="), "that line needs a registry"


def test_the_image_holds_every_package():
    dockerfile = (ROOT / "Dockerfile").read_text()
    included = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert included == ["sb_*"]
    for package in ROOT.glob("sb_*/__init__.py"):
        assert f"COPY {package.parent.name} ./{package.parent.name}\n" in dockerfile


def test_data_lies_in_named_volumes():
    assert set(FILE["volumes"]) == {"kafka-data", "mysql-data"}
    assert SERVICES["kafka"]["volumes"] == ["kafka-data:/var/lib/kafka/data"]
    assert SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"] == "/var/lib/kafka/data"
    assert SERVICES["mysql"]["volumes"] == ["mysql-data:/var/lib/mysql"]


def test_the_broker_comes_back_soon_and_makes_no_topics_by_accident():
    environment = SERVICES["kafka"]["environment"]
    assert environment["KAFKA_BROKER_SESSION_TIMEOUT_MS"].endswith(":-3000}")
    assert environment["KAFKA_BROKER_HEARTBEAT_INTERVAL_MS"] == 500
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert environment["PATH"].startswith("/opt/kafka/bin:")


def test_scaling_leaves_the_ports_of_processors_alone():
    scale = yaml.load((ROOT / "deploy" / "scale.yml").read_text(), Resetting)
    assert scale == {"services": {name: {"ports": ("reset", [])} for name in PROCESSORS}}
