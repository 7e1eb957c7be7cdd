{{/*
A Canary of Flagger with its metrics. Flagger makes the Services NAME, NAME-primary and NAME-canary, the
DestinationRules of the last two, and the VirtualService NAME with the weights, to which the routes of
this chart delegate. Takes root, port and portName.
*/}}
{{- define "routing.canary" -}}
{{- $root := .root -}}
{{- $flagger := $root.Values.flagger -}}
{{- $name := $root.Chart.Name }}
{{- /* Flagger's policy knows neither limits of TCP nor a retry budget. */}}
{{- $policy := omit (include "routing.trafficPolicy" $root | fromYaml) "retryBudget" }}
{{- $_ := set $policy "connectionPool" (omit $policy.connectionPool "tcp") }}
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "common.labels" $root | nindent 4 }}
  {{- include "common.onlyAnnotations" $root | nindent 2 }}
spec:
  provider: istio
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ $name }}}
  {{- if $flagger.autoscaler }}
  autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: {{ $name }}}
  {{- end }}
  progressDeadlineSeconds: 300
  service:
    port: {{ .port }}
    portName: {{ .portName }}
    appProtocol: http
    # The other ports too; the routes then name the one above.
    portDiscovery: true
    delegation: true
    trafficPolicy:
      {{- toYaml $policy | nindent 6 }}
  analysis:
    interval: {{ $flagger.interval }}
    threshold: {{ $flagger.threshold }}
    stepWeights: {{ toJson $flagger.stepWeights }}
    metrics:
      {{- range $metric, $max := dict "errors" $flagger.maxErrorPercent "slow" $flagger.maxSlowPercent }}
      - name: {{ $metric }}
        interval: 2m
        templateRef: {name: {{ $name }}-{{ $metric }}}
        thresholdRange: {max: {{ include "common.scalar" $max }}}
      {{- end }}
    {{- with $flagger.webhooks }}
    webhooks:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- /* Pods of the canary have two further parts in their names, those of the primary three. */}}
{{- $pods := `namespace="{{ namespace }}",pod=~"{{ target }}-[0-9a-z]+-[0-9a-z]+"` }}
{{- range $metric, $query := dict "errors" (include "common.errorRatio" $pods) "slow" (include "common.slowRatio" $pods) }}
---
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata:
  name: {{ $name }}-{{ $metric }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "common.labels" $root | nindent 4 }}
  {{- include "common.onlyAnnotations" $root | nindent 2 }}
spec:
  provider:
    type: prometheus
    address: {{ $flagger.prometheus }}
  query: {{ printf "100 * (%s)" (trim $query) | quote }}
{{- end }}
{{- end -}}
