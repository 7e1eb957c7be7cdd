{{- define "routing.notes" -}}
{{- include "routing.init" . -}}
{{- $canary := .Values.canary -}}
{{- if $canary.enabled }}
{{ .Chart.Name }}: {{ sub 100 (int $canary.weight) }} % of the requests to v1, {{ $canary.weight }} % to v2; `canary: {{ $canary.header }}` always to v2.
{{- else }}
{{ .Chart.Name }}: every request goes to v1. canary.enabled adds v2, whose pods must be ready.
{{- end }}
{{- end -}}
