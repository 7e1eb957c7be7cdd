{{/* Seconds from the announcement of a pod's end to SIGKILL: all phases of the drain and a margin. */}}
{{- define "common.gracePeriod" -}}
{{- $end := .Values.shutdown -}}
{{- add (int $end.preStop) (int $end.lameDuck) (int $end.grace) (int $end.jobs) (int $end.margin) -}}
{{- end -}}

{{- define "common.deployment" -}}
{{- $pods := include "common.statedPods" . }}
---
{{ include "common.workloadKind" . }}
metadata:
  name: {{ include "common.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "common.labels" . | nindent 4 }}
  annotations:
    checkov.io/skip1: "CKV_K8S_11=a CPU limit adds latency, and requests already protect other pods"
    {{- if and $pods (include "common.isScaled" .) }}
    twelvefold.dev/states-replicas: "true"
    {{- end }}
    {{- include "common.annotations" . | nindent 4 }}
    {{- with .Values.deploymentAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- with $pods }}
  replicas: {{ . }}
  {{- end }}
  revisionHistoryLimit: 5
  progressDeadlineSeconds: 300
  minReadySeconds: {{ .Values.minReadySeconds }}
  strategy:
    {{- if include "common.isArgo" . }}
    {{- include "common.rolloutStrategy" . | nindent 4 }}
    {{- else }}
    {{- with .Values.strategy }}
    {{- toYaml . | nindent 4 }}
    {{- else }}
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      # A single pod ends only after its successor is ready.
      maxUnavailable: {{ ternary 1 0 (gt (include "common.fewestPods" . | int) 1) }}
    {{- end }}
    {{- end }}
  selector:
    matchLabels:
      {{- include "common.workloadSelector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "common.workloadSelector" . | nindent 8 }}
        {{- include "common.podLabels" . | nindent 8 }}
        app.kubernetes.io/component: service
        version: {{ include "common.subset" . }}
        {{- with .Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        {{- include "common.podAnnotations" . | nindent 8 }}
    spec:
      serviceAccountName: {{ include "common.serviceAccountName" . }}
      automountServiceAccountToken: {{ .Values.serviceAccount.token }}
      {{- include "common.pod" . | nindent 6 }}
      terminationGracePeriodSeconds: {{ include "common.gracePeriod" . }}
      affinity:
        {{- with .Values.scheduling.affinity }}
        {{- toYaml . | nindent 8 }}
        {{- else }}
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 100
              podAffinityTerm:
                topologyKey: kubernetes.io/hostname
                labelSelector:
                  matchLabels:
                    {{- include "common.selector" . | nindent 20 }}
        {{- end }}
      topologySpreadConstraints:
        {{- with .Values.scheduling.topologySpreadConstraints }}
        {{- toYaml . | nindent 8 }}
        {{- else }}
        - topologyKey: topology.kubernetes.io/zone
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          matchLabelKeys: [pod-template-hash]
          labelSelector:
            matchLabels:
              {{- include "common.selector" . | nindent 14 }}
        {{- end }}
      {{- with .Values.extra.initContainers }}
      initContainers:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .Chart.Name }}
          {{- include "common.container" . | nindent 10 }}
          {{- with .Values.command }}
          command:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          args:
            {{- .Values.args | default (list "run" .Chart.Name) | toYaml | nindent 12 }}
          {{- include "common.environment" . | nindent 10 }}
          ports:
            {{- range $name, $port := .Values.ports }}
            - {name: {{ $name }}, containerPort: {{ $port }}, protocol: TCP}
            {{- end }}
          {{- if .Values.shutdown.preStop }}
          lifecycle:
            preStop:
              {{- if include "common.isFlagger" . }}
              # Flagger copies the pods without the fields that its version of the API lacks.
              exec: {command: [sleep, {{ .Values.shutdown.preStop | quote }}]}
              {{- else }}
              sleep: {seconds: {{ .Values.shutdown.preStop }}}
              {{- end }}
          {{- end }}
          # A missing schema makes a pod unready. Only a process that does not start within 60 s is
          # restarted.
          startupProbe:
            httpGet: {path: /livez, port: management}
            {{- toYaml .Values.probes.startup | nindent 12 }}
          {{- if .Values.readOnlyRootFilesystem }}
          livenessProbe:
            httpGet: {path: /livez, port: management}
            {{- toYaml .Values.probes.liveness | nindent 12 }}
          {{- else }}
          # A failed edit waits for the next one: a new container would lose both.
          {{- end }}
          readinessProbe:
            httpGet: {path: /readyz, port: management}
            {{- toYaml .Values.probes.readiness | nindent 12 }}
          resources:
            {{- tpl (toYaml .Values.resources) . | nindent 12 }}
          volumeMounts:
            {{- include "common.volumeMounts" . | nindent 12 }}
            - {name: config, mountPath: /etc/twelvefold/config, readOnly: true}
            {{- with .Values.extra.mounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
        {{- with .Values.extra.containers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      volumes:
        {{- include "common.volumes" . | nindent 8 }}
{{- end -}}

{{- define "common.podAnnotations" -}}
kubectl.kubernetes.io/default-container: {{ .Chart.Name }}
checksum/config: {{ include "common.settings" . | sha256sum }}
{{- if include "common.createsSecret" . }}
checksum/secret: {{ .Values.secret.data | toYaml | sha256sum }}
{{- end }}
{{- if include "common.isSidecar" . }}
# Probes and scrapes reach the process directly, without the sidecar's mTLS.
traffic.sidecar.istio.io/excludeInboundPorts: {{ .Values.ports.management | quote }}
sidecar.istio.io/rewriteAppHTTPProbers: "false"
prometheus.istio.io/merge-metrics: "false"
# For sidecars that are ordinary containers: start first, and end after the last request.
proxy.istio.io/config: |
  holdApplicationUntilProxyStarts: true
  proxyMetadata:
    EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true"
{{- end }}
{{- if not .Values.monitoring.enabled }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ .Values.ports.management | quote }}
prometheus.io/path: /metrics
{{- end }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}
