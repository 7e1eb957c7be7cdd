{{/* Rules that admit service accounts of this namespace to the internal port. */}}
{{- define "routing.internalRule" -}}
{{- $root := . -}}
{{- with .Values.callers.internal }}
- from:
    - source:
        principals:
          {{- range . }}
          - {{ include "routing.principal" (dict "root" $root "namespace" $root.Release.Namespace "account" .) }}
          {{- end }}
  to:
    - operation:
        ports: [{{ index $root.Values.global.peers $root.Chart.Name "port" | quote }}]
        paths: [/internal/v1/*]
{{- end }}
{{- end -}}

{{/* Takes root and rules; without rules nobody is admitted. */}}
{{- define "routing.authorizationpolicy" -}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: {{ .root.Chart.Name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "common.labels" .root | nindent 4 }}
  {{- include "common.onlyAnnotations" .root | nindent 2 }}
spec:
  selector:
    matchLabels:
      app.kubernetes.io/name: {{ .root.Chart.Name }}
  action: ALLOW
  {{- with .rules }}
  rules:
    {{- . | trim | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* What this service's pods know of the world: whom they call, and nothing else. */}}
{{- define "routing.sidecar" -}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: {{ .Chart.Name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
  annotations:
    {{- include "common.annotations" . | nindent 4 }}
    {{- range $peer, $reason := .Values.calls }}
    {{- if include "common.hasPeer" (dict "root" $ "name" $peer) }}
    twelvefold.dev/to-{{ $peer }}: {{ $reason | quote }}
    {{- end }}
    {{- end }}
spec:
  workloadSelector:
    labels:
      app.kubernetes.io/name: {{ .Chart.Name }}
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
  egress:
    - hosts:
        {{- range $name, $_ := .Values.calls }}
        {{- $peer := required (printf "global.peers has no %s" $name) (index $.Values.global.peers $name) }}
        {{- if $peer.app }}
        - ./{{ include "routing.host" (dict "root" $ "name" $peer.app) }}
        {{- if eq $.Values.global.rolloutController "flagger" }}
        - ./{{ include "routing.host" (dict "root" $ "name" (printf "%s-primary" $peer.app)) }}
        - ./{{ include "routing.host" (dict "root" $ "name" (printf "%s-canary" $peer.app)) }}
        {{- end }}
        {{- else if $peer.host }}
        - {{ include "common.sidecarHost" (dict "root" $ "name" $name) | required (printf "global.peers.%s has no location: list networks, or pods by namespace and labels" $name) }}
        {{- end }}
        {{- end }}
{{- end -}}
