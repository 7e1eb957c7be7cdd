{{- define "common.notes" -}}
{{- include "common.init.service" . -}}
{{ .Chart.Name }} {{ include "common.version" . }} as {{ ternary "the primary release" "another release" (eq (include "common.isPrimary" .) "true") }} (subset {{ include "common.subset" . }}) in {{ .Release.Namespace }}.

  {{ if include "common.isArgo" . -}}
  kubectl argo rollouts -n {{ .Release.Namespace }} status {{ include "common.fullname" . }}
  {{- else -}}
  kubectl -n {{ .Release.Namespace }} rollout status deployment/{{ include "common.fullname" . }}
  {{- end }}
  helm -n {{ .Release.Namespace }} test {{ .Release.Name }} --logs
{{- if not (include "common.isPrimary" .) }}

It receives the traffic that istio/{{ .Chart.Name }} sends to v2: canary.enabled and canary.weight.
{{- end }}
{{- if include "common.createsSecret" . }}

Its secrets are this chart's development values.
{{- end }}
{{- end -}}
