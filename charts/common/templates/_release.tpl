{{/*
The one include of a service chart. What both releases of a service share belongs to the primary;
a second release has its own Deployment, ConfigMap, scaling, budget and migration, and nothing else,
because Helm refuses an object that another release owns.
*/}}
{{- define "common.service" -}}
{{- include "common.init.service" . -}}
{{ include "common.configmap" . }}
{{ include "common.deployment" . }}
{{ include "common.horizontalpodautoscaler" . }}
{{ include "common.poddisruptionbudget" . }}
{{ include "common.migration" . }}
{{ include "common.test" . }}
{{- if include "common.isPrimary" . }}
{{ include "common.serviceaccount" . }}
{{ include "common.secret" . }}
{{ include "common.k8sservice" . }}
{{ include "common.networkpolicy" . }}
{{ include "common.podmonitor" . }}
{{ include "common.prometheusrule" . }}
{{ include "common.adapterrule" . }}
{{- end }}
{{- end -}}
