#!/usr/bin/env python3
"""Checks docker-compose.yml and home-assistant-app/ without running them.

- docker-compose.yml against the schema of the Compose specification (tests/containers/compose-spec.json), and
  against what docs/container.md promises of each service.
- home-assistant-app/ against the supervisor's own validation, where its source is: SUPERVISOR names a checkout of
  github.com/home-assistant/supervisor.

Needs PyYAML and jsonschema; exit status 3 if they are missing, 1 if something is wrong.
"""

import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import tomllib

try:
    import jsonschema
    import yaml
except ImportError as error:
    print(f"SKIPPED: {error}")
    sys.exit(3)

TOP = pathlib.Path(__file__).resolve().parent.parent
# Its image starts as root and writes outside of its volume; docs/container.md says so.
UNRESTRICTED = {"home-assistant"}
PROFILES = {"mosquitto", "simulator", "monitoring", "home-assistant", "node-red", "cluster"}
problems = []


def want(holds, problem):
    if not holds:
        problems.append(problem)


def check_compose():
    compose = yaml.safe_load((TOP / "docker-compose.yml").read_text())
    schema = json.loads((TOP / "tests/containers/compose-spec.json").read_text())
    for error in jsonschema.Draft7Validator(schema).iter_errors(compose):
        problems.append(f"docker-compose.yml: {error.json_path}: {error.message}")
    services = compose["services"]
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    want(profiles == PROFILES, f"profiles: {profiles ^ PROFILES}")
    built = [name for name, service in services.items() if "build" in service]
    want(built == ["gateway"], f"built more than once: {built}")
    used = set()
    for name, service in services.items():
        say = f"service {name}:"
        want("healthcheck" in service, f"{say} no healthcheck")
        want("no-new-privileges:true" in service.get("security_opt", []), f"{say} no-new-privileges")
        want(not service.get("privileged"), f"{say} privileged")
        if name not in UNRESTRICTED:
            want(service.get("read_only") is True, f"{say} not read_only")
            want(service.get("cap_drop") == ["ALL"], f"{say} cap_drop")
        for port in service.get("ports", []):
            want(str(port).startswith("127.0.0.1:"), f"{say} port {port} is open to the network")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                # A reload reads what an editor has written only if the folder is mounted.
                is_own = service.get("image") == "poly2mqtt:local"
                want(not is_own or (TOP / source).is_dir(), f"{say} {source} is no folder")
                want((TOP / source).exists(), f"{say} {source} does not exist")
                want(volume.endswith(":ro"), f"{say} {source} can be written")
            else:
                want(source in compose["volumes"], f"{say} volume {source}")
        for secret in service.get("secrets", []):
            used.add(secret if isinstance(secret, str) else secret["source"])
        for other in service.get("depends_on", {}):
            want(other in services, f"{say} depends on {other}")
        for key, value in (service.get("environment") or {}).items():
            secret = re.search("PASSWORD|TOKEN|SECRET", key) and not key.endswith("_FILE")
            want(not secret, f"{say} {key} is no file")
    want(used == set(compose["secrets"]), f"secrets: {used ^ set(compose['secrets'])}")
    script = (TOP / "examples/docker/secrets.sh").read_text()
    for name in used:
        want(name in script, f"examples/docker/secrets.sh does not make {name}")
    for name in ["datasource", "dashboards"]:
        yaml.safe_load((TOP / f"examples/docker/grafana/{name}.yaml").read_text())
    prometheus = yaml.safe_load((TOP / "examples/docker/prometheus.yml").read_text())
    target = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    want(target == ["gateway:8080"], f"Prometheus reads {target}")
    check_cluster(services)
    print(f"docker-compose.yml: {len(services)} services")


def check_cluster(services):
    """The gateways that share rooms and their etcd, as docs/cluster.md and examples/docker/cluster.toml have them."""
    text = (TOP / "examples/docker/cluster.toml").read_text()
    config = tomllib.loads(text)
    members = {f"http://{name}:2379" for name in services if name.startswith("etcd")}
    want(set(config["cluster"]["etcd"]) == members, f"cluster.toml has other members of etcd than {members}")
    page = (TOP / "docs/cluster.md").read_text()
    advised = dict(re.findall(r"^(ETCD_(?:HEARTBEAT|ELECTION|AUTO)_\w+)=(\S+)$", page, re.M))
    want(len(advised) == 4, f"docs/cluster.md advises {advised}")
    gateways = []
    for name, service in services.items():
        say = f"service {name}:"
        environment = service.get("environment") or {}
        if name.startswith("etcd"):
            want(service["networks"] == ["cluster"], f"{say} on another network than the gateways' own")
            want("ports" not in service, f"{say} has a port outside")
            want(environment["ETCD_NAME"] == name, f"{say} another name")
            for key, value in advised.items():
                want(environment.get(key) == value, f"{say} {key} is not {value}")
            peers = environment["ETCD_INITIAL_CLUSTER"].split(",")
            own = f"{name}={environment['ETCD_INITIAL_ADVERTISE_PEER_URLS']}"
            want(own in peers and len(peers) == len(members), f"{say} {own} is not in {peers}")
        if "POLY2MQTT_CLUSTER__NAME" in environment:
            gateways.append(name)
            want(environment["POLY2MQTT_CLUSTER__NAME"] == name, f"{say} another name")
            advertised = environment["POLY2MQTT_CLUSTER__ADVERTISE"]
            want(advertised == f"http://{name}:8080", f"{say} advertises {advertised}")
            file = environment.get("POLY2MQTT_CONFIG")
            want(file == "/etc/poly2mqtt/cluster.toml", f"{say} reads {file}")
    want(gateways == config["http"]["hosts"], f"gateways: {gateways}")
    want(len(members) == len(gateways) == 3, "three gateways and three members of etcd")
    campus = services["campus"]["command"]
    devices = int(campus[campus.index("--rooms") + 1])
    urls = [room["url"] for room in config["rooms"].values()]
    want(urls == [f"https://campus:{8443 + n}" for n in range(devices)], f"rooms: {urls}")


def check_app():
    folder = TOP / "home-assistant-app"
    app = folder / "poly2mqtt"
    config = yaml.safe_load((app / "config.yaml").read_text())
    cargo = (TOP / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.*)"', cargo, re.M).group(1)
    want(config["version"] == version, f"config.yaml has version {config['version']}, Cargo.toml {version}")
    changes = (app / "CHANGELOG.md").read_text()
    want(f"## {version}" in changes, f"home-assistant-app/poly2mqtt/CHANGELOG.md lacks {version}")
    for name in ["DOCS.md", "icon.png", "logo.png", "run.sh", "Dockerfile", "nginx.conf"]:
        want((app / name).exists(), f"home-assistant-app/poly2mqtt/{name} is missing")
    translations = yaml.safe_load((app / "translations/en.yaml").read_text())
    told, known = set(translations["configuration"]), set(config["schema"])
    want(told == known, f"translations/en.yaml and the schema differ: {told ^ known}")
    port = config["ingress_port"]
    want(f"listen {port};" in (app / "nginx.conf").read_text(), "nginx.conf listens on another port")
    source = os.environ.get("SUPERVISOR")
    if source:
        check_with_supervisor(pathlib.Path(source), folder, config, translations)
    else:
        print("SKIPPED: the supervisor's own validation; SUPERVISOR names no checkout of its source")


def check_with_supervisor(source, folder, config, translations):
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(source / "supervisor", pathlib.Path(copy) / "supervisor")
        if sys.version_info < (3, 14):
            # Since 3.14 several exceptions need no parentheses.
            for path in pathlib.Path(copy).rglob("*.py"):
                text = path.read_text()
                mended = re.sub(r"^( *)except ([\w.]+(?:, *[\w.]+)+):", r"\1except (\2):", text, flags=re.M)
                if mended != text:
                    path.write_text(mended)
        sys.path.insert(0, copy)
        import logging

        import voluptuous
        from supervisor.apps import options, validate
        from supervisor.services.modules import mqtt
        from supervisor.store.validate import SCHEMA_REPOSITORY_CONFIG

        said = []
        handler = logging.Handler()
        handler.emit = lambda record: said.append(record.getMessage())
        logging.getLogger("supervisor").addHandler(handler)

        repository = yaml.safe_load((folder / "repository.yaml").read_text())
        schemas = [
            ("repository.yaml", SCHEMA_REPOSITORY_CONFIG, repository),
            ("config.yaml", validate.SCHEMA_APP_CONFIG, config),
            ("translations/en.yaml", validate.SCHEMA_APP_TRANSLATIONS, translations),
        ]
        for name, schema, value in schemas:
            try:
                taken = schema(value)
            except voluptuous.Invalid as error:
                problems.append(f"{name}: {error}")
                continue
            # What the supervisor does not know it drops.
            for key in value.keys() - taken.keys():
                problems.append(f"{name}: the supervisor does not know {key}")
        problems.extend(f"the supervisor warns: {line}" for line in said)
        service = {"host": "core-mosquitto", "port": 1883, "username": "addons", "password": "x", "ssl": False}
        mqtt.SCHEMA_SERVICE_MQTT(service)
        check_options(options, voluptuous, config)
        print("home-assistant-app: the supervisor takes it")


def check_options(options, voluptuous, config):
    """The supervisor's check of what a user enters."""

    class Nobody:
        def __getattr__(self, name):
            return self

    validator = options.AppOptions(Nobody(), config["schema"], "poly2mqtt", "poly2mqtt")
    room = {"id": "boardroom", "name": "Boardroom", "url": "https://192.0.2.10", "password": "x"}
    good = [
        config["options"],
        config["options"] | {"rooms": [room]},
        config["options"] | {"rooms": [room | {"user": "admin", "certificate": "sha256:00"}], "log": "debug"},
    ]
    bad = [
        config["options"] | {"rooms": [room | {"id": "a/b"}]},
        config["options"] | {"rooms": [{"id": "1"}]},
        config["options"] | {"log": "loud"},
        {"rooms": []},
    ]
    for value, wanted in [(value, True) for value in good] + [(value, False) for value in bad]:
        try:
            validator(value)
            taken = True
        except voluptuous.Invalid as error:
            taken, why = False, error
        if taken != wanted:
            problems.append(f"options {value}: {'taken' if taken else why}")


check_compose()
check_app()
for problem in problems:
    print(problem)
sys.exit(1 if problems else 0)
