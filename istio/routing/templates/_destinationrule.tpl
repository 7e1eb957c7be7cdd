{{- define "routing.outlierDetection" -}}
consecutive5xxErrors: {{ .errors }}
interval: {{ .values.interval }}
baseEjectionTime: {{ .values.baseEjectionTime }}
maxEjectionPercent: {{ .values.maxEjectionPercent }}
minHealthPercent: {{ .values.minHealthPercent }}
{{- end -}}

{{/*
How a service's pods are called: by the Service of both releases, whose subsets VirtualServices name, and
by those of one release, to which HTTPRoutes lead. Takes root and exportTo: further namespaces that use
the rules.
*/}}
{{- define "routing.destinationrules" -}}
{{ include "routing.destinationrule" . }}
{{- if or (include "routing.hasPublicHttpRoutes" .root) .root.Values.global.mesh.waypoint }}
{{- range $subset := ternary (list "v1" "v2") (list "v1") .root.Values.canary.enabled }}
{{ include "routing.destinationrule" (dict "root" $.root "exportTo" $.exportTo "instance" $subset) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Takes `instance` too: the subset whose own Service the rule is for, instead of that of both. */}}
{{- define "routing.destinationrule" -}}
{{- $root := .root -}}
{{- $name := .instance | empty | ternary $root.Chart.Name (printf "%s-%s" $root.Chart.Name (.instance | default "")) -}}
{{- $outliers := $root.Values.outlierDetection }}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "common.labels" $root | nindent 4 }}
  {{- include "common.onlyAnnotations" $root | nindent 2 }}
spec:
  host: {{ include "routing.host" (dict "root" $root "name" $name) }}
  exportTo: {{ prepend (.exportTo | default list) "." | uniq | toJson }}
  trafficPolicy:
    {{- include "routing.trafficPolicy" $root | nindent 4 }}
  {{- if not .instance }}
  subsets:
    {{- range $subset := eq (include "routing.hasCanary" $root) "true" | ternary (list "v1" "v2") (list "v1") }}
    - name: {{ $subset }}
      labels: {{ get $root.Values.subsets (eq (include "common.isArgo" $root) "true" | ternary "v1" $subset) | dig "labels" dict | toJson }}
      trafficPolicy:
        outlierDetection:
          {{- include "routing.outlierDetection" (dict "values" $outliers "errors" (index $outliers.consecutiveErrors $subset)) | nindent 10 }}
    {{- end }}
  {{- end }}
{{- end -}}

{{/* Balancing, limits and outlier detection of the calls to a service. */}}
{{- define "routing.trafficPolicy" -}}
{{- $pool := .Values.connectionPool -}}
{{- $outliers := .Values.outlierDetection -}}
tls: {mode: ISTIO_MUTUAL}
loadBalancer: {simple: LEAST_REQUEST}
{{- with .Values.retries.budget }}
retryBudget: {percent: {{ . }}, minRetryConcurrency: {{ $pool.maxRetries }}}
{{- end }}
connectionPool:
  tcp:
    maxConnections: {{ $pool.maxConnections }}
    connectTimeout: {{ $pool.connectTimeout }}
  http:
    http1MaxPendingRequests: {{ $pool.maxPendingRequests }}
    http2MaxRequests: {{ $pool.maxRequests }}
    maxRequestsPerConnection: {{ $pool.maxRequestsPerConnection }}
    maxRetries: {{ $pool.maxRetries }}
outlierDetection:
  {{- include "routing.outlierDetection" (dict "values" $outliers "errors" $outliers.consecutiveErrors.default) | nindent 2 }}
{{- end -}}

{{/* "true" where requests may go to two subsets: of a second release, or of Argo Rollouts. */}}
{{- define "routing.hasCanary" -}}
{{- if or .Values.canary.enabled (include "common.isArgo" .) -}}true{{- end -}}
{{- end -}}
