{{/*
KEDA instead of a HorizontalPodAutoscaler: the same bounds, speed and resources, and figures that
Prometheus has of the pods through their PodMonitor. There is no `fallback`: while a figure is missing,
the HorizontalPodAutoscaler that KEDA makes removes no pods and still adds some by the others.
*/}}
{{- define "common.scaledobject" -}}
{{- if .Values.keda.enabled }}
{{- $triggers := include "common.kedaTriggers" . }}
{{- if not (trim $triggers) }}
{{- fail "keda.enabled without a trigger: set autoscaling.cpu, keda.requestsPerSecond, keda.queue or keda.triggers" }}
{{- end }}
{{- if include "common.isFlagger" . }}
{{- fail (printf "keda.enabled: Flagger copies the HorizontalPodAutoscaler of %s for its primary; with Flagger leave KEDA off for %s" .Chart.Name .Chart.Name) }}
{{- end }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
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
  minReplicaCount: {{ .Values.autoscaling.minReplicas }}
  maxReplicaCount: {{ .Values.autoscaling.maxReplicas }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        {{- toYaml .Values.autoscaling.behavior | nindent 8 }}
  triggers:
    {{- trim $triggers | nindent 4 }}
{{- end }}
{{- end -}}

{{- define "common.kedaTriggers" -}}
{{- $keda := .Values.keda -}}
{{- range $resource := list "cpu" "memory" }}
{{- with index $.Values.autoscaling $resource }}
- type: {{ $resource }}
  name: {{ $resource }}
  metricType: Utilization
  metadata: {value: {{ . | quote }}, containerName: {{ $.Chart.Name }}}
{{- end }}
{{- end }}
{{- with $keda.requestsPerSecond }}
{{- /* Of this release's pods: another release of the service has a scaler of its own. */}}
{{- $pods := printf `namespace="%s",job="%s",version="%s"` $.Release.Namespace $.Chart.Name (include "common.subset" $) }}
- type: prometheus
  name: requests-per-second
  metricType: AverageValue
  {{- /* 0 before the first request, and nothing where no pod is scraped. */}}
  {{- include "common.kedaQuery" (dict "keda" $keda "threshold" . "query" (printf `sum(rate(http_requests_total{%s}[2m])) or 0 * count(up{%s} == 1)` $pods $pods)) | nindent 2 }}
{{- end }}
{{- with tpl $keda.queue . }}
- type: prometheus
  name: queue-age
  {{- /* By its value: while the oldest job waits twice as long as it should, twice as many pods. */}}
  metricType: Value
  {{- include "common.kedaQuery" (dict "keda" $keda "threshold" $keda.queueAge "query" (printf `max(jobs_queue_age_seconds{namespace="%s",queue="%s"})` $.Release.Namespace .)) | nindent 2 }}
{{- end }}
{{- with $keda.triggers }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What every trigger of Prometheus has. Takes keda, query and threshold. */}}
{{- define "common.kedaQuery" -}}
metadata:
  serverAddress: {{ .keda.serverAddress }}
  query: {{ squote .query }}
  threshold: {{ .threshold | quote }}
  # No figure is an error, and not 0: pods that nobody scrapes are not idle.
  ignoreNullValues: "false"
  {{- with .keda.authModes }}
  authModes: {{ . }}
  {{- end }}
{{- with .keda.authenticationRef }}
authenticationRef:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
