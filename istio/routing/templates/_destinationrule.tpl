{{- define "routing.outlierDetection" -}}
consecutive5xxErrors: {{ .errors }}
interval: {{ .values.interval }}
baseEjectionTime: {{ .values.baseEjectionTime }}
maxEjectionPercent: {{ .values.maxEjectionPercent }}
minHealthPercent: {{ .values.minHealthPercent }}
{{- end -}}

{{/* How a service's pods are called. `exportTo`: further namespaces that use the rule. */}}
{{- define "routing.destinationrule" -}}
{{- $root := .root -}}
{{- $outliers := $root.Values.outlierDetection }}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: {{ $root.Chart.Name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "common.labels" $root | nindent 4 }}
  {{- include "common.onlyAnnotations" $root | nindent 2 }}
spec:
  host: {{ include "routing.host" (dict "root" $root "name" $root.Chart.Name) }}
  exportTo: {{ prepend (.exportTo | default list) "." | uniq | toJson }}
  trafficPolicy:
    {{- include "routing.trafficPolicy" $root | nindent 4 }}
  subsets:
    {{- range $subset := eq (include "routing.hasCanary" $root) "true" | ternary (list "v1" "v2") (list "v1") }}
    - name: {{ $subset }}
      labels: {{ get $root.Values.subsets (eq (include "common.isArgo" $root) "true" | ternary "v1" $subset) | dig "labels" dict | toJson }}
      trafficPolicy:
        outlierDetection:
          {{- include "routing.outlierDetection" (dict "values" $outliers "errors" (index $outliers.consecutiveErrors $subset)) | nindent 10 }}
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
