"""Kafka of the native stack: broker and controller in one process, from the jars that Maven fetched.

Made for one node that is killed often: internal topics have one replica and few partitions, groups form without delay
and may have short sessions. Topics are never made by accident (`auto.create.topics.enable=false`).
A killed broker loses nothing that it acknowledged (the kernel has it); a machine that loses power may.
"""

import base64
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sb_local.stack_engine import CLEAN_ENVIRON, Place
from sb_local.stack_install import JAVA, KAFKA_VERSION, Need, StackError, jars, java
from sb_local.stack_probe import HOST, KAFKA_REQUEST, ask, kafka_answer
from sb_local.stack_process import Command, write

HEAP_MB: Final = 512
TOOL_HEAP_MB: Final = 256
FORMAT_DEADLINE_S: Final = 60
CONTROLLER: Final = "kafka-controller"
BOOTSTRAP: Final = "--bootstrap-server"

TOOLS: Final[Mapping[str, str]] = {
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-delete-records.sh": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-get-offsets.sh": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-producer-perf-test.sh": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-consumer-perf-test.sh": "org.apache.kafka.tools.ConsumerPerformance",
}
"""The command line tools by the names that Kafka's own scripts have."""


class Kafka:
    """The engine (see stack_engine.Engine)."""

    name = "kafka"
    port_names: tuple[str, ...] = ("kafka", CONTROLLER)
    start_deadline_s = 90.0
    stop_deadline_s = 20.0

    def needs(self) -> tuple[Need, ...]:
        """Say which programs must be on the machine."""
        return (JAVA,)

    def fetch(self, *, install: bool) -> None:
        """Get the jars."""
        jars(install=install)

    def prepare(self, place: Place) -> Command:
        """Write server.properties, format the data folder once, and say what to run."""
        place.data.mkdir(parents=True, exist_ok=True)
        config = place.folder / "server.properties"
        write(config, "".join(f"{name}={_escaped(value)}\n" for name, value in _settings(place).items()).encode())
        if not (place.data / "meta.properties").exists():
            _format(config)
        collector = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:+ExitOnOutOfMemoryError")
        return run_class("kafka.Kafka", str(config), heap_mb=HEAP_MB, options=collector)

    def probe(self, port: int, deadline_s: float) -> str:
        """Ask for metadata: a broker is listed once it is registered and may be used."""
        ask(port, KAFKA_REQUEST, kafka_answer, deadline_s)
        return f"Kafka {KAFKA_VERSION}"

    def url(self, port: int) -> str:
        """Return SB_LOG_URL."""
        return f"kafka://{HOST}:{port}"


def run_class(name: str, *arguments: str, heap_mb: int, options: tuple[str, ...] = ()) -> Command:
    """Say how to run one of Kafka's Java classes."""
    path = java()
    if path is None:
        raise StackError("Java has gone from this machine")
    machine = (
        f"-Xmx{heap_mb}m",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
        "-Dlog4j2.level=WARN",
    )
    argv = (path, *machine, *options, "-cp", f"{jars(install=False)}/*", name, *arguments)
    return Command(path, argv, CLEAN_ENVIRON)


def tool(name: str, port: int, *arguments: str) -> Command:
    """Say how to run a command line tool of TOOLS against the broker; light ones start faster without a big compiler."""
    if name not in TOOLS:
        raise StackError(f"{name} is none of {', '.join(sorted(TOOLS))}")
    given = () if BOOTSTRAP in arguments or name == "kafka-producer-perf-test.sh" else (BOOTSTRAP, f"{HOST}:{port}")
    light = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
    return run_class(TOOLS[name], *given, *arguments, heap_mb=TOOL_HEAP_MB, options=light)


def _format(config: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # a cluster id that begins with a hyphen would be taken for an option
    cluster = f"s{cluster[1:]}"
    asked = ("format", "--standalone", "--ignore-formatted", "-t", cluster, "-c", str(config))
    command = run_class("kafka.tools.StorageTool", *asked, heap_mb=TOOL_HEAP_MB, options=("-XX:TieredStopAtLevel=1",))
    try:
        done = subprocess.run(  # noqa: S603  our own Java and arguments
            command.argv,
            env=dict(command.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FORMAT_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StackError(f"formatting Kafka's data folder did not end in {FORMAT_DEADLINE_S} s") from error
    if done.returncode != 0:
        raise StackError(f"Kafka's data folder can't be formatted:\n{done.stdout}{done.stderr}")


def _settings(place: Place) -> dict[str, str]:
    broker, controller = f"{HOST}:{place.ports['kafka']}", f"{HOST}:{place.ports[CONTROLLER]}"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": controller,
        "log.dirs": str(place.data),
        # a broker that was killed comes back only when its last session has ended: 9 s by default
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "500",
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
        **place.settings,
    }


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\")
