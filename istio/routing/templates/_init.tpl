{{/* Effective values: the library's, overridden by the chart's, and `global` of charts/common. */}}
{{- define "routing.init" -}}
{{- if hasKey .Values "routing" -}}
{{- $own := omit .Values "common" "routing" "global" -}}
{{- $_ := set . "Values" (mergeOverwrite (deepCopy (omit .Values.routing "global")) $own (dict "global" .Values.common.global)) -}}
{{- end -}}
{{- if not (or (include "common.isMeshed" .) (include "routing.hasPublicHttpRoutes" .)) -}}
{{- fail "global.mesh.mode is none: there is nothing to route, but for a public service with global.gatewayApi.enabled" -}}
{{- end -}}
{{- include "common.requireEntrance" . -}}
{{- include "common.locateS3" . -}}
{{- include "common.selectFeatures" . -}}
{{- if and .Values.global.rolloutController (dig "canary" "enabled" false .Values) -}}
{{- fail (printf "canary.enabled is for a second release: %s sets the weights itself" .Values.global.rolloutController) -}}
{{- end -}}
{{- if and (dig "canary" "enabled" false .Values) (not (include "routing.canDivide" .)) -}}
{{- fail (printf "canary.enabled: without a waypoint ambient divides no requests to %s: set global.mesh.waypoint, or give the canary its share by pods" .Chart.Name) -}}
{{- end -}}
{{- include "common.refuseDevelopment" . -}}
{{- include "common.requireSite" . -}}
{{- end -}}

{{/* "true" where clients' requests are led by HTTPRoutes. */}}
{{- define "routing.hasPublicHttpRoutes" -}}
{{- if and .Values.global.gatewayApi.enabled .Values.public -}}true{{- end -}}
{{- end -}}

{{/* "true" where something can give a share of the requests to a canary. */}}
{{- define "routing.canDivide" -}}
{{- if or (include "common.isSidecar" .) .Values.public .Values.global.mesh.waypoint -}}true{{- end -}}
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
