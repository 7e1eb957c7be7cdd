"""Writes the schemas in this folder from CustomResourceDefinitions, with unknown fields refused.

    python tests/charts/schemas/update.py FILE...

The files: `customresourcedefinitions.gen.yaml` of istio/api, `podmonitors` and `prometheusrules` of
prometheus-operator, `scaledobjects` of keda, `rollout` and `analysis-template` of argo-rollouts,
`crd.yaml` of flagger, `application` of argo-cd, `helmreleases` and `helmrepositories` of Flux,
`300-clusterimagepolicy.yaml` of sigstore/policy-controller; into gateway-api/ those of
sigs.k8s.io/gateway-api, standard channel. A schema here holds for one kind and version.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

KINDS = {
    "AuthorizationPolicy": "v1",
    "ClusterImagePolicy": "v1beta1",
    "DestinationRule": "v1",
    "EnvoyFilter": "v1alpha3",
    "Gateway": "v1",
    "PeerAuthentication": "v1",
    "RequestAuthentication": "v1",
    "ServiceEntry": "v1",
    "Sidecar": "v1",
    "Telemetry": "v1",
    "VirtualService": "v1",
    "PodMonitor": "v1",
    "PrometheusRule": "v1",
    "ScaledObject": "v1alpha1",
    "AnalysisTemplate": "v1alpha1",
    "Rollout": "v1alpha1",
    "Canary": "v1beta1",
    "MetricTemplate": "v1beta1",
    "Application": "v1alpha1",
    "HelmRelease": "v2",
    "HelmRepository": "v1",
}
# Kinds of the Gateway API, in a folder of their own: Istio has a Gateway too.
_GATEWAY_API, _GATEWAY_API_KINDS = "gateway.networking.k8s.io", {"Gateway": "v1", "HTTPRoute": "v1"}
_NAMES = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "namespace", "labels"],
    "properties": {
        "name": {"type": "string"},
        "namespace": {"type": "string"},
        "labels": _NAMES,
        "annotations": _NAMES,
    },
}


def strict(schema: Any) -> Any:
    """The schema without prose and Kubernetes' extensions, closed wherever it names properties."""
    if isinstance(schema, list):
        return [strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties"):
            kept[key] = {name: strict(entry) for name, entry in value.items()}
        elif key not in ("description", "format") and not key.startswith("x-kubernetes"):
            kept[key] = strict(value)
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    closed = "properties" in kept and kept.get("type") == "object"
    if closed and not schema.get("x-kubernetes-preserve-unknown-fields"):
        kept.setdefault("additionalProperties", False)
    return kept


def schema_path(group: str, kind: str) -> Path:
    """Where the schema of a kind is, if there is one."""
    folder = Path(__file__).parent
    return (folder / "gateway-api" if group == _GATEWAY_API else folder) / f"{kind}.json"


def main(files: list[str]) -> None:
    for file in files:
        for crd in yaml.safe_load_all(Path(file).read_text()):
            kind = str(crd["spec"]["names"]["kind"]) if crd else ""
            group = crd["spec"]["group"] if crd else ""
            kinds = _GATEWAY_API_KINDS if group == _GATEWAY_API else KINDS
            for version in crd["spec"]["versions"] if kind in kinds else []:
                if version["name"] != kinds[kind]:
                    continue
                schema = strict(version["schema"]["openAPIV3Schema"])
                metadata = dict(_METADATA)
                if crd["spec"]["scope"] == "Cluster":
                    metadata["required"] = ["name", "labels"]
                schema["properties"] |= {
                    "apiVersion": {"const": f"{group}/{version['name']}"},
                    "kind": {"const": kind},
                    "metadata": metadata,
                }
                target = schema_path(group, kind)
                target.parent.mkdir(exist_ok=True)
                target.write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
