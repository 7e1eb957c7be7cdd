{{/*
Authorization in ambient. Ztunnel admits identities to ports; a rule with a path or a token would admit
nobody there. The rules of HTTP are those of the waypoint, and then pods admit the waypoint alone.
*/}}
{{- define "routing.ambientPolicies" -}}
{{- $root := .root -}}
{{- $management := 9000 }}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: {{ $root.Chart.Name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "common.labels" $root | nindent 4 }}
  {{- include "common.onlyAnnotations" $root | nindent 2 }}
spec:
  selector:
    matchLabels:
      app.kubernetes.io/name: {{ $root.Chart.Name }}
  mtls: {mode: STRICT}
  # Scrapes and tests come from outside the mesh; NetworkPolicies say from where.
  portLevelMtls:
    {{ $management | quote }}: {mode: PERMISSIVE}
{{- $rules := include "routing.identityRules" $root }}
{{ include "routing.authorizationpolicy" (dict "root" $root "rules" (printf "%s\n- to:\n    - operation: {ports: [\"%d\"]}" (trim $rules) $management)) }}
{{- if and $root.Values.global.mesh.waypoint (or $root.Values.public $root.Values.callers.internal) }}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: {{ $root.Chart.Name }}-requests
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "common.labels" $root | nindent 4 }}
  {{- include "common.onlyAnnotations" $root | nindent 2 }}
spec:
  targetRefs:
    {{- include "routing.serviceRefs" $root | nindent 4 }}
  action: ALLOW
  rules:
    {{- include "routing.rules" $root | trim | nindent 4 }}
{{- end }}
{{- end -}}

{{/* Every Service of a service, for policies at the waypoint. */}}
{{- define "routing.serviceRefs" -}}
{{- range $suffix := list "" "-v1" "-v2" }}
- {group: "", kind: Service, name: {{ $.Chart.Name }}{{ $suffix }}}
{{- end }}
{{- end -}}

{{/* Which identities may open a connection to which port. */}}
{{- define "routing.identityRules" -}}
{{- $root := . -}}
{{- $waypoint := include "routing.principal" (dict "root" . "namespace" .Release.Namespace "account" (include "common.waypoint" .)) -}}
{{- if .Values.public }}
- from:
    - source: {principals: [{{ .Values.global.mesh.waypoint | ternary $waypoint (include "routing.gatewayPrincipal" .) }}]}
  to:
    - operation: {ports: ["8000"]}
{{- end }}
{{- with .Values.callers.internal }}
- from:
    - source:
        principals:
          {{- if $root.Values.global.mesh.waypoint }}
          - {{ $waypoint }}
          {{- else }}
          {{- range . }}
          - {{ include "routing.principal" (dict "root" $root "namespace" $root.Release.Namespace "account" .) }}
          {{- end }}
          {{- end }}
  to:
    - operation:
        ports: [{{ index $root.Values.global.peers $root.Chart.Name "port" | quote }}]
{{- end }}
{{- end -}}
