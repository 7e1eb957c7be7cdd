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
{{- $pool := $root.Values.connectionPool -}}
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
    tls: {mode: ISTIO_MUTUAL}
    loadBalancer: {simple: LEAST_REQUEST}
    {{- with $root.Values.retries.budget }}
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
      {{- include "routing.outlierDetection" (dict "values" $outliers "errors" $outliers.consecutiveErrors.default) | nindent 6 }}
  subsets:
    {{- range $subset := $root.Values.canary.enabled | ternary (list "v1" "v2") (list "v1") }}
    - name: {{ $subset }}
      labels: {version: {{ $subset }}}
      trafficPolicy:
        outlierDetection:
          {{- include "routing.outlierDetection" (dict "values" $outliers "errors" (index $outliers.consecutiveErrors $subset)) | nindent 10 }}
    {{- end }}
{{- end -}}
