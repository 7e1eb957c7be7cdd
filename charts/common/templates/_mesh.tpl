{{/*
The mesh as the charts see it: which mode, what passes a waypoint, what stays outside, and what cannot be
had. In ambient the connections between pods of the mesh arrive at port 15008 (HBONE); the identities
behind them are checked by ztunnel, their requests by a waypoint only.
*/}}
{{- define "common.isSidecar" -}}
{{- if eq .Values.global.mesh.mode "sidecar" -}}true{{- end -}}
{{- end -}}

{{- define "common.isAmbient" -}}
{{- if eq .Values.global.mesh.mode "ambient" -}}true{{- end -}}
{{- end -}}

{{- define "common.isMeshed" -}}
{{- if ne .Values.global.mesh.mode "none" -}}true{{- end -}}
{{- end -}}

{{- define "common.hbonePort" -}}15008{{- end -}}

{{/* Name of the waypoint and of its service account. */}}
{{- define "common.waypoint" -}}waypoint{{- end -}}

{{/* Rejects what a mode of the mesh or the Gateway API cannot do. */}}
{{- define "common.requireEntrance" -}}
{{- $global := .Values.global -}}
{{- if and $global.gatewayApi.enabled (not $global.gatewayApi.parents) -}}
{{- fail "global.gatewayApi.parents is empty: name the Gateway that clients come through (name, namespace, sectionName)" -}}
{{- end -}}
{{- if and $global.mesh.waypoint (not (include "common.isAmbient" .)) -}}
{{- fail (printf "global.mesh.waypoint is for global.mesh.mode ambient, and the mode is %s" $global.mesh.mode) -}}
{{- end -}}
{{- if and $global.mesh.waypoint (not $global.gatewayApi.enabled) -}}
{{- fail "global.mesh.waypoint needs global.gatewayApi.enabled: a route of Istio's own Gateway leads past the waypoint and its rules" -}}
{{- end -}}
{{- if and $global.rolloutController (include "common.isAmbient" .) -}}
{{- fail (printf "global.rolloutController %s sets weights of sidecars' routes, which ambient has not: use twelvefold rollout" $global.rolloutController) -}}
{{- end -}}
{{- if and $global.rolloutController $global.gatewayApi.enabled -}}
{{- fail (printf "global.rolloutController %s sets weights of VirtualServices, and global.gatewayApi renders HTTPRoutes: use twelvefold rollout" $global.rolloutController) -}}
{{- end -}}
{{- end -}}

{{/* Without sidecars a public service sees the gateway's address: the client's is in a header. */}}
{{- define "common.requireTrustedProxies" -}}
{{- $entrance := or (include "common.isAmbient" .) .Values.global.gatewayApi.enabled (dig "ingress" "enabled" false .Values) -}}
{{- if and (hasKey .Values.ports "http") $entrance (not (include "common.isSidecar" .)) (not .Values.global.trustedProxies) -}}
{{- fail "global.trustedProxies is empty: without the networks of the gateway's pods all clients share one address" -}}
{{- end -}}
{{- end -}}

{{/* HTTP_TRUSTED_PROXIES of a public service: the sidecar alone, or the networks of the site. */}}
{{- define "common.trustedProxies" -}}
{{- if include "common.isSidecar" . -}}
127.0.0.6,::6
{{- else -}}
{{- join "," .Values.global.trustedProxies -}}
{{- end -}}
{{- end -}}

{{/* Labels of pods outside the mesh: one-off processes that speak to servers only. */}}
{{- define "common.outsideMesh" -}}
sidecar.istio.io/inject: "false"
istio.io/dataplane-mode: none
{{- end -}}

{{/* Labels of a Service whose requests pass the waypoint, those of the gateway too. */}}
{{- define "common.waypointLabels" -}}
{{- if .Values.global.mesh.waypoint }}
istio.io/use-waypoint: {{ include "common.waypoint" . }}
istio.io/ingress-use-waypoint: "true"
{{- end }}
{{- end -}}

{{/* The peer of a NetworkPolicy that is the waypoint. */}}
{{- define "common.waypointPeer" -}}
- podSelector:
    matchLabels:
      gateway.networking.k8s.io/gateway-name: {{ include "common.waypoint" . }}
{{- end -}}

{{/*
The port of HBONE beside a peer's own, if the peer is in the mesh and no waypoint is between. Takes root
and name.
*/}}
{{- define "common.hboneTo" -}}
{{- $peer := index .root.Values.global.peers .name -}}
{{- if and (include "common.isAmbient" .root) (not .root.Values.global.mesh.waypoint) (or $peer.app (has .name (list "gateway" "ingress"))) }}
- {protocol: TCP, port: {{ include "common.hbonePort" . }}}
{{- end }}
{{- end -}}

{{/* Rules of ingress that ambient adds: the waypoint, and the kubelet, whose address ambient replaces. */}}
{{- define "common.ambientIngress" -}}
{{- if include "common.isAmbient" . }}
- from:
    - ipBlock: {cidr: 169.254.7.127/32}
    - ipBlock: {cidr: "fd16:9254:7127:1337:ffff:ffff:ffff:ffff/128"}
  ports:
    - {protocol: TCP, port: {{ .Values.ports.management }}}
{{- if and .Values.global.mesh.waypoint (omit .Values.ports "management") }}
- from:
    {{- include "common.waypointPeer" . | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ include "common.hbonePort" . }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* Rules of egress: services call each other through the waypoint. */}}
{{- define "common.ambientEgress" -}}
{{- if .Values.global.mesh.waypoint }}
- to:
    {{- include "common.waypointPeer" . | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ include "common.hbonePort" . }}}
{{- end }}
{{- end -}}
