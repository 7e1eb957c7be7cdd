{{- define "common.secretName" -}}
{{- .Values.secret.existingSecret | default .Chart.Name -}}
{{- end -}}

{{/* Names of the settings that come from Secrets. */}}
{{- define "common.secretKeys" -}}
{{- $keys := list -}}
{{- range $name, $wanted := .Values.secret.keys -}}
{{- if $wanted -}}
{{- $keys = append $keys $name -}}
{{- end -}}
{{- end -}}
{{- toYaml $keys -}}
{{- end -}}

{{/* The Secrets with their items, each once: that of the service, and those of a mapping. */}}
{{- define "common.secretSources" -}}
{{- $items := dict -}}
{{- range $setting, $from := .Values.secret.keys -}}
{{- if $from -}}
{{- $name := kindIs "map" $from | ternary (get (kindIs "map" $from | ternary $from dict) "name") (include "common.secretName" $) -}}
{{- $key := kindIs "map" $from | ternary (get (kindIs "map" $from | ternary $from dict) "key") $setting -}}
{{- $_ := set $items $name (append (get $items $name | default list) (dict "key" $key "path" $setting)) -}}
{{- end -}}
{{- end -}}
{{- $sources := list -}}
{{- range $name := keys $items | sortAlpha -}}
{{- $sources = append $sources (dict "name" $name "items" (get $items $name)) -}}
{{- end -}}
{{- toYaml $sources -}}
{{- end -}}

{{/* "true" where the chart creates Secrets: from development's values, unless a Secret is named. */}}
{{- define "common.createsSecret" -}}
{{- if and (eq .Values.global.environment "development") (not .Values.secret.existingSecret) -}}true{{- end -}}
{{- end -}}

{{- define "common.secret" -}}
{{- if include "common.createsSecret" . }}
{{- range $name, $from := .Values.secret.keys }}
{{- if and (eq (toString $from) "true") (not (index $.Values.secret.data $name)) }}
{{- fail (printf "secret.existingSecret names no Secret, and secret.data has no %s" $name) }}
{{- end }}
{{- end }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ include "common.secretName" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
  {{- include "common.onlyAnnotations" . | nindent 2 }}
type: Opaque
stringData:
  {{- range $name, $value := .Values.secret.data }}
  {{ $name }}: {{ $value | quote }}
  {{- end }}
{{- end }}
{{- end -}}
