{{/*
Who may talk to whom. A service names its callers and whom it calls, with the reason of each; where
those are is said once, in global.peers. Everything else is denied by charts/platform.
*/}}

{{/* Peers of a NetworkPolicy rule: a list, empty where the peer is not there. Takes root and name. */}}
{{- define "common.peer" -}}
{{- $peer := index .root.Values.global.peers .name -}}
{{- if not $peer -}}
{{- fail (printf "global.peers has no %s" .name) -}}
{{- end -}}
{{- if $peer.app }}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ $peer.app }}
{{- else if $peer.cidrs }}
{{- range $peer.cidrs }}
{{- include "common.refuseMetadataAddress" . }}
- ipBlock:
    cidr: {{ . | quote }}
    {{- if eq . "0.0.0.0/0" }}
    # Credentials of the node are nobody's business.
    except: [169.254.169.254/32]
    {{- else if eq . "::/0" }}
    except: ["fd00:ec2::254/128"]
    {{- end }}
{{- end }}
{{- else if $peer.namespace }}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ $peer.namespace }}
  podSelector:
    matchLabels:
      {{- toYaml (required (printf "global.peers.%s has a namespace and no labels" .name) $peer.labels) | nindent 6 }}
{{- else -}}
{{- fail (printf "global.peers.%s is nowhere: give it cidrs, or a namespace and labels" .name) -}}
{{- end -}}
{{- end -}}

{{/* The metadata address is in 169.254.0.0/16; whatever else contains that is too wide to be meant. */}}
{{- define "common.refuseMetadataAddress" -}}
{{- $length := last (splitList "/" .) | int -}}
{{- if or (hasPrefix "169.254." .) (and (not (contains ":" .)) (gt $length 0) (lt $length 8)) (and (hasPrefix "169." .) (lt $length 16)) (hasPrefix "fd00:ec2:" .) -}}
{{- fail (printf "%s is too wide or holds the metadata address 169.254.169.254: name narrower networks" .) -}}
{{- end -}}
{{- end -}}

{{/* Whether the peer is there at all: an edge of the other kind, or a host that was not given, is not. */}}
{{- define "common.hasPeer" -}}
{{- $values := .root.Values -}}
{{- $peer := index $values.global.peers .name -}}
{{- if eq .name "gateway" -}}
{{- if $values.global.mesh.enabled -}}true{{- end -}}
{{- else if eq .name "ingress" -}}
{{- if dig "ingress" "enabled" false $values -}}true{{- end -}}
{{- else if or (not (hasKey $peer "host")) $peer.host -}}true{{- end -}}
{{- end -}}

{{/* Egress to the cluster's DNS and nothing else. */}}
{{- define "common.egressToDns" -}}
- to:
    {{- include "common.peer" (dict "root" . "name" "dns") | trim | nindent 4 }}
  ports:
    - {protocol: UDP, port: {{ .Values.global.peers.dns.port }}}
    - {protocol: TCP, port: {{ .Values.global.peers.dns.port }}}
{{- end -}}

{{/* Egress to one peer. Takes root and name. */}}
{{- define "common.egressTo" -}}
- to:
    {{- include "common.peer" . | trim | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ (index .root.Values.global.peers .name).port }}}
{{- end -}}

{{- define "common.networkpolicy" -}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .Chart.Name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
  annotations:
    {{- range $port, $peers := .Values.callers }}
    {{- range $peer, $reason := $peers }}
    twelvefold.dev/from-{{ $peer }}-to-{{ $port }}: {{ $reason | quote }}
    {{- end }}
    {{- end }}
    {{- range $peer, $reason := .Values.calls }}
    twelvefold.dev/to-{{ $peer }}: {{ $reason | quote }}
    {{- end }}
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ .Chart.Name }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- range $port, $peers := .Values.callers }}
    {{- range $peer, $_ := $peers }}
    {{- if include "common.hasPeer" (dict "root" $ "name" $peer) }}
    - from:
        {{- include "common.peer" (dict "root" $ "name" $peer) | trim | nindent 8 }}
      ports:
        - {protocol: TCP, port: {{ required (printf "callers names the port %s, ports does not" $port) (index $.Values.ports $port) }}}
    {{- end }}
    {{- end }}
    {{- end }}
    # The test of a release.
    - from:
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: {{ .Chart.Name }}-test
      ports:
        - {protocol: TCP, port: {{ .Values.ports.management }}}
  egress:
    {{- include "common.egressToDns" . | nindent 4 }}
    {{- if .Values.global.mesh.enabled }}
    {{- include "common.egressTo" (dict "root" . "name" "istiod") | nindent 4 }}
    {{- end }}
    {{- range $peer, $_ := .Values.calls }}
    {{- if include "common.hasPeer" (dict "root" $ "name" $peer) }}
    {{- include "common.egressTo" (dict "root" $ "name" $peer) | nindent 4 }}
    {{- end }}
    {{- end }}
{{- end -}}
