{{/*
Who decides the number of pods: `replicas`, a HorizontalPodAutoscaler or KEDA. Both autoscalers have the
bounds and the speed of `autoscaling`, and measure the service's container: an idle sidecar would hide
its load.
*/}}
{{- define "common.isScaled" -}}
{{- if or .Values.autoscaling.enabled .Values.keda.enabled -}}true{{- end -}}
{{- end -}}

{{/* Minimum number of pods of this release. */}}
{{- define "common.fewestPods" -}}
{{- ternary .Values.autoscaling.minReplicas .Values.replicas (eq (include "common.isScaled" .) "true") | int -}}
{{- end -}}

{{/*
The number of pods that the object states: without an autoscaler `replicas`. With one, the present number
where an earlier manifest stated one, because Helm 3 sets a field that a manifest drops to its default: 1.
So the upgrade that switches the autoscaler on states it, and by the annotation every later one.
*/}}
{{- define "common.statedPods" -}}
{{- if not (include "common.isScaled" .) -}}
{{- .Values.replicas -}}
{{- else -}}
{{- with include "common.liveWorkload" . | fromYaml -}}
{{- if or (dig "metadata" "annotations" "twelvefold.dev/states-replicas" "" .) (not (include "common.isScaledLive" $)) -}}
{{- .spec.replicas | default $.Values.autoscaling.minReplicas -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The object that makes the pods as it is in the cluster; nothing where Helm has none or only renders. */}}
{{- define "common.liveWorkload" -}}
{{- $kind := include "common.workloadKind" . | fromYaml -}}
{{- include "common.live" (dict "root" . "apiVersion" $kind.apiVersion "kind" $kind.kind) -}}
{{- end -}}

{{/* "true" if an autoscaler of this release is in the cluster. */}}
{{- define "common.isScaledLive" -}}
{{- if or
  (include "common.live" (dict "root" . "apiVersion" "autoscaling/v2" "kind" "HorizontalPodAutoscaler"))
  (include "common.live" (dict "root" . "apiVersion" "keda.sh/v1alpha1" "kind" "ScaledObject")) -}}
true
{{- end -}}
{{- end -}}

{{/* An object of this release's name in the cluster, if that knows the kind. Takes root, apiVersion, kind. */}}
{{- define "common.live" -}}
{{- if .root.Capabilities.APIVersions.Has (printf "%s/%s" .apiVersion .kind) -}}
{{- with lookup .apiVersion .kind .root.Release.Namespace (include "common.fullname" .root) -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "common.horizontalpodautoscaler" -}}
{{- if and .Values.autoscaling.enabled (not .Values.keda.enabled) }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "common.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
  {{- /* An upgrade to KEDA creates its object before this one goes; KEDA's webhook would refuse that. */}}
  {{- include "common.annotationsWith" (dict "root" . "own" (dict "validations.keda.sh/hpa-ownership" "false")) | nindent 2 }}
spec:
  scaleTargetRef:
    {{- include "common.workloadKind" . | nindent 4 }}
    name: {{ include "common.fullname" . }}
  minReplicas: {{ .Values.autoscaling.minReplicas }}
  maxReplicas: {{ .Values.autoscaling.maxReplicas }}
  metrics:
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
    {{- toYaml .Values.autoscaling.behavior | nindent 4 }}
{{- end }}
{{- end -}}

{{/* A rule to append to prometheus-adapter's rules. */}}
{{- define "common.adapterrule" -}}
{{- if and .Values.autoscaling.requestsPerSecond.enabled (not .Values.keda.enabled) }}
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
