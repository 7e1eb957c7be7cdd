{{- define "routing.notes" -}}
{{- include "routing.init" . -}}
{{- $canary := .Values.canary -}}
{{- if $canary.enabled }}
{{ .Chart.Name }}: {{ sub 100 (int $canary.weight) }} % of the requests to v1, {{ $canary.weight }} % to v2; `canary: {{ $canary.header }}` always to v2.
{{- else }}
{{ .Chart.Name }}: every request to v1. A second release gets some with canary.enabled, once its pods are ready.
{{- end }}
{{- end -}}
