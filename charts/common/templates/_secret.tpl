{{- define "common.secretName" -}}
{{- .Values.secret.existingSecret | default .Chart.Name -}}
{{- end -}}

{{/* Names of the settings in the Secret. */}}
{{- define "common.secretKeys" -}}
{{- $keys := list -}}
{{- range $name, $wanted := .Values.secret.keys -}}
{{- if $wanted -}}
{{- $keys = append $keys $name -}}
{{- end -}}
{{- end -}}
{{- toYaml $keys -}}
{{- end -}}

{{- define "common.secret" -}}
{{- if not .Values.secret.existingSecret }}
{{- range $name := include "common.secretKeys" . | fromYamlArray }}
{{- if not (index $.Values.secret.data $name) }}
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
type: Opaque
stringData:
  {{- range $name, $value := .Values.secret.data }}
  {{ $name }}: {{ $value | quote }}
  {{- end }}
{{- end }}
{{- end -}}
