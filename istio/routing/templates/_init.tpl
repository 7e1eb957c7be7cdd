{{/* Effective values: the library's, overridden by the chart's, and `global` of charts/common. */}}
{{- define "routing.init" -}}
{{- if hasKey .Values "routing" -}}
{{- $own := omit .Values "common" "routing" "global" -}}
{{- $_ := set . "Values" (mergeOverwrite (deepCopy (omit .Values.routing "global")) $own (dict "global" .Values.common.global)) -}}
{{- end -}}
{{- if not .Values.global.mesh.enabled -}}
{{- fail "global.mesh.enabled is off: there is nothing to route" -}}
{{- end -}}
{{- include "common.locateS3" . -}}
{{- include "common.selectFeatures" . -}}
{{- if and .Values.global.rolloutController (dig "canary" "enabled" false .Values) -}}
{{- fail (printf "canary.enabled is for a second release: %s sets the weights itself" .Values.global.rolloutController) -}}
{{- end -}}
{{- include "common.refuseDevelopment" . -}}
{{- include "common.requireSite" . -}}
{{- end -}}

{{/* Full name of a service of this namespace. Takes root and name. */}}
{{- define "routing.host" -}}
{{ .name }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.global.mesh.clusterDomain }}
{{- end -}}

{{/* SPIFFE principal of a service account. Takes root, namespace and account. */}}
{{- define "routing.principal" -}}
{{ .root.Values.global.mesh.trustDomain }}/ns/{{ .namespace }}/sa/{{ .account }}
{{- end -}}

{{- define "routing.gatewayPrincipal" -}}
{{- include "routing.principal" (dict "root" . "namespace" .Values.global.peers.gateway.namespace "account" .Values.global.mesh.gatewayServiceAccount) -}}
{{- end -}}
