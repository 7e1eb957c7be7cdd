{{/*
What changes where a controller runs canaries. Argo Rollouts owns the pods: a Rollout stands in for the
Deployment. Flagger copies the Deployment and owns the Services: it tells both copies apart by `app`.
*/}}
{{- define "common.isArgo" -}}
{{- if eq .Values.global.rolloutController "argo-rollouts" -}}true{{- end -}}
{{- end -}}

{{/* Worker has no requests to share, so that Flagger has nothing to do with it. */}}
{{- define "common.isFlagger" -}}
{{- if and (eq .Values.global.rolloutController "flagger") (omit .Values.ports "management") -}}true{{- end -}}
{{- end -}}

{{/* apiVersion and kind of the object that makes the pods. */}}
{{- define "common.workloadKind" -}}
{{- if include "common.isArgo" . -}}
apiVersion: argoproj.io/v1alpha1
kind: Rollout
{{- else -}}
apiVersion: apps/v1
kind: Deployment
{{- end -}}
{{- end -}}

{{/* Selects this release's pods for the object that makes them. */}}
{{- define "common.workloadSelector" -}}
{{ include "common.selector" . }}
{{- if include "common.isFlagger" . }}
app: {{ .Chart.Name }}
{{- end }}
{{- end -}}

{{- define "common.rolloutStrategy" -}}
{{- $rollout := .Values.rollout -}}
canary:
  maxSurge: 1
  # A single pod ends only after its successor is ready.
  maxUnavailable: {{ ternary 1 0 (gt (include "common.fewestPods" . | int) 1) }}
  {{- if and (include "common.isSidecar" .) $rollout.virtualServices }}
  trafficRouting:
    istio:
      virtualServices:
        {{- toYaml $rollout.virtualServices | nindent 8 }}
      destinationRule: {name: {{ .Chart.Name }}, stableSubsetName: v1, canarySubsetName: v2}
  {{- end }}
  steps:
    {{- toYaml $rollout.steps | nindent 4 }}
  {{- if $rollout.analysis.enabled }}
  analysis:
    # From the first pause on, until the rollout ends.
    startingStep: 1
    templates:
      - templateName: {{ include "common.fullname" . }}
    args:
      - name: hash
        valueFrom: {podTemplateHashValue: Latest}
  {{- end }}
{{- end -}}

{{/* Figures of the new pods, which their names tell apart. Without traffic the shares are 0. */}}
{{- define "common.analysistemplate" -}}
{{- if and (include "common.isArgo" .) .Values.rollout.analysis.enabled }}
{{- $analysis := .Values.rollout.analysis }}
{{- $pods := printf `namespace="%s",pod=~"%s-{{args.hash}}-.+"` .Release.Namespace (include "common.fullname" .) }}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata:
  name: {{ include "common.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
  {{- include "common.onlyAnnotations" . | nindent 2 }}
spec:
  args:
    - name: hash
  metrics:
    {{- $figures := dict }}
    {{- if omit .Values.ports "management" }}
    {{- $_ := set $figures "errors" (list (include "common.errorRatio" $pods) $analysis.maxErrorRatio) }}
    {{- $_ := set $figures "slow" (list (include "common.slowRatio" $pods) $analysis.maxSlowRatio) }}
    {{- else }}
    {{- $_ := set $figures "failed-runs" (list (include "common.failedRunRatio" $pods) $analysis.maxErrorRatio) }}
    {{- end }}
    {{- range $name, $figure := $figures }}
    - name: {{ $name }}
      interval: {{ $analysis.interval }}s
      failureLimit: {{ $analysis.failureLimit }}
      # Prometheus may be away for a while.
      consecutiveErrorLimit: 4
      successCondition: result[0] <= {{ last $figure }}
      provider:
        prometheus:
          address: {{ $analysis.prometheus }}
          query: {{ first $figure | trim | quote }}
    {{- end }}
{{- end }}
{{- end -}}

{{/* PromQL of each figure. Takes the label matchers of the pods. */}}
{{- define "common.errorRatio" -}}
(sum(rate(http_requests_total{{ "{" }}{{ . }},status=~"5.."{{ "}" }}[2m])) or vector(0)) / (sum(rate(http_requests_total{{ "{" }}{{ . }}{{ "}" }}[2m])) > 0) or vector(0)
{{- end -}}

{{- define "common.slowRatio" -}}
1 - (sum(rate(http_request_duration_seconds_bucket{{ "{" }}{{ . }},le="0.5"{{ "}" }}[2m])) / (sum(rate(http_request_duration_seconds_count{{ "{" }}{{ . }}{{ "}" }}[2m])) > 0) or vector(1))
{{- end -}}

{{- define "common.failedRunRatio" -}}
(sum(rate(jobs_finished_total{{ "{" }}{{ . }},status=~"failed|dead"{{ "}" }}[2m])) or vector(0)) / (sum(rate(jobs_finished_total{{ "{" }}{{ . }}{{ "}" }}[2m])) > 0) or vector(0)
{{- end -}}
