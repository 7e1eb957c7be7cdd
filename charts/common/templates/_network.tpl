{{/*
Allowed connections. A service lists its callers and the servers that it calls, each with the reason;
global.peers contains their locations. charts/platform denies all other connections.
*/}}

{{/* Egress to the cluster's DNS only. */}}
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
    {{- include "common.hboneTo" . | nindent 4 }}
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
    {{- if include "common.hasPeer" (dict "root" $ "name" $peer) }}
    twelvefold.dev/from-{{ $peer }}-to-{{ $port }}: {{ $reason | quote }}
    {{- end }}
    {{- end }}
    {{- end }}
    {{- range $peer, $reason := .Values.calls }}
    {{- if include "common.hasPeer" (dict "root" $ "name" $peer) }}
    twelvefold.dev/to-{{ $peer }}: {{ $reason | quote }}
    {{- end }}
    {{- end }}
    {{- include "common.annotations" . | nindent 4 }}
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
        {{- include "common.hboneTo" (dict "root" $ "name" $peer) | nindent 8 }}
    {{- end }}
    {{- end }}
    {{- end }}
    # The release's test.
    - from:
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: {{ .Chart.Name }}-test
      ports:
        - {protocol: TCP, port: {{ .Values.ports.management }}}
    {{- include "common.ambientIngress" . | nindent 4 }}
  egress:
    {{- include "common.egressToDns" . | nindent 4 }}
    {{- if include "common.isSidecar" . }}
    {{- include "common.egressTo" (dict "root" . "name" "istiod") | nindent 4 }}
    {{- end }}
    {{- include "common.ambientEgress" . | nindent 4 }}
    {{- range $peer, $_ := .Values.calls }}
    {{- if include "common.hasPeer" (dict "root" $ "name" $peer) }}
    {{- include "common.egressTo" (dict "root" $ "name" $peer) | nindent 4 }}
    {{- end }}
    {{- end }}
{{- end -}}
