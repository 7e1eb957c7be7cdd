{{/* Settings without secrets. The chart sets those that it knows, and values cannot override them. */}}
{{- define "common.settings" -}}
{{- $settings := dict -}}
{{- range $name, $value := .Values.config -}}
{{- $rendered := tpl (include "common.scalar" $value) $ -}}
{{- if ne $rendered "" -}}
{{- $_ := set $settings $name $rendered -}}
{{- end -}}
{{- end -}}
{{- $ports := .Values.ports -}}
{{- range $port, $name := dict "http" "PORT" "internal" "INTERNAL_PORT" "management" "MANAGEMENT_PORT" -}}
{{- if hasKey $ports $port -}}
{{- $_ := set $settings $name (include "common.scalar" (get $ports $port)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $settings "SERVICE_VERSION" (include "common.version" .) -}}
{{- $_ := set $settings "HTTP_LAME_DUCK" (include "common.scalar" .Values.shutdown.lameDuck) -}}
{{- $_ := set $settings "HTTP_GRACE" (include "common.scalar" .Values.shutdown.grace) -}}
{{- if .Values.shutdown.jobs -}}
{{- $_ := set $settings "WORKER_GRACE" (include "common.scalar" .Values.shutdown.jobs) -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{- define "common.configmap" -}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "common.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
  {{- include "common.onlyAnnotations" . | nindent 2 }}
data:
  {{- range $name, $value := include "common.settings" . | fromYaml }}
  {{ $name }}: {{ $value | quote }}
  {{- end }}
{{- end -}}
