{{- define "common.horizontalpodautoscaler" -}}
{{- if and .Values.autoscaling.enabled (not (dig "keda" "enabled" false .Values)) }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "common.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
  {{- include "common.onlyAnnotations" . | nindent 2 }}
spec:
  scaleTargetRef:
    {{- include "common.workloadKind" . | nindent 4 }}
    name: {{ include "common.fullname" . }}
  minReplicas: {{ .Values.autoscaling.minReplicas }}
  maxReplicas: {{ .Values.autoscaling.maxReplicas }}
  metrics:
    # Of the service's container: an idle sidecar would hide its load.
    {{- range $resource := list "cpu" "memory" }}
    {{- with index $.Values.autoscaling $resource }}
    - type: ContainerResource
      containerResource:
        name: {{ $resource }}
        container: {{ $.Chart.Name }}
        target: {type: Utilization, averageUtilization: {{ . }}}
    {{- end }}
    {{- end }}
    {{- if .Values.autoscaling.requestsPerSecond.enabled }}
    - type: Pods
      pods:
        metric: {name: http_requests_per_second}
        target: {type: AverageValue, averageValue: {{ .Values.autoscaling.requestsPerSecond.perPod | quote }}}
    {{- end }}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 60
      policies:
        - {type: Percent, value: 50, periodSeconds: 60}
    scaleDown:
      stabilizationWindowSeconds: 300
      policies:
        - {type: Percent, value: 10, periodSeconds: 60}
{{- end }}
{{- end -}}

{{/* A rule to append to prometheus-adapter's rules. */}}
{{- define "common.adapterrule" -}}
{{- if .Values.autoscaling.requestsPerSecond.enabled }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Chart.Name }}-prometheus-adapter
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
  {{- include "common.onlyAnnotations" . | nindent 2 }}
data:
  rules.yaml: |
    rules:
      - seriesQuery: 'http_requests_total{namespace!="",pod!="",job="{{ .Chart.Name }}"}'
        resources:
          overrides:
            namespace: {resource: namespace}
            pod: {resource: pod}
        name: {as: http_requests_per_second}
        metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)'
{{- end }}
{{- end -}}

{{- define "common.poddisruptionbudget" -}}
{{- if and .Values.disruptionBudget.enabled (gt (include "common.fewestPods" . | int) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "common.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
  {{- include "common.onlyAnnotations" . | nindent 2 }}
spec:
  maxUnavailable: 1
  # An unready pod must not prevent the drain of a node.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "common.selector" . | nindent 6 }}
{{- end }}
{{- end -}}
