{{/*
The only include of a service chart. The primary creates the objects that releases share. Another
release has only its own Deployment, ConfigMap, scaling, budget, migration and (for HTTPRoutes) Service,
because Helm rejects an object of another release.
*/}}
{{- define "common.service" -}}
{{- include "common.init.service" . -}}
{{ include "common.configmap" . }}
{{ include "common.deployment" . }}
{{ include "common.analysistemplate" . }}
{{ include "common.horizontalpodautoscaler" . }}
{{ include "common.scaledobject" . }}
{{ include "common.poddisruptionbudget" . }}
{{ include "common.instanceService" . }}
{{ include "common.migration" . }}
{{ include "common.test" . }}
{{- if include "common.isPrimary" . }}
{{ include "common.serviceaccount" . }}
{{ include "common.secret" . }}
{{ include "common.k8sservice" . }}
{{ include "common.ingress" . }}
{{ include "common.networkpolicy" . }}
{{ include "common.podmonitor" . }}
{{ include "common.prometheusrule" . }}
{{ include "common.adapterrule" . }}
{{ include "common.extraManifests" . }}
{{- end }}
{{- end -}}
