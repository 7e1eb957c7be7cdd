{{/*
The migration of this service's schema: a process before every install and upgrade. Hooks of lower
weight create its objects, because the release does not exist yet. The owner's URL is in a Secret that
no Deployment mounts. The pod is outside the mesh, because it needs no sidecar, which would not end.
*/}}
{{- define "common.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* The Secret with the owner's URL. In development it is made by this hook, for one release. */}}
{{- define "common.migrationSecretName" -}}
{{- if .Values.migrations.secret.existingSecret -}}
{{- .Values.migrations.secret.existingSecret -}}
{{- else if eq .Values.global.environment "development" -}}
{{- include "common.fullname" . }}-migrate
{{- else -}}
{{- .Chart.Name }}-migrate
{{- end -}}
{{- end -}}

{{- define "common.migration" -}}
{{- if .Values.migrations.enabled }}
{{- $account := include "common.hookAccountName" (dict "root" . "suffix" "migrate") }}
{{- $createsSecret := and (eq .Values.global.environment "development") (not .Values.migrations.secret.existingSecret) }}
{{- $name := printf "%s-migrate" (include "common.fullname" .) }}
{{- $selected := printf "%s-migrate" .Chart.Name }}
{{- $labels := include "common.labelsOf" (dict "root" . "name" $selected) }}
{{- if .Values.serviceAccount.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $account }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- include "common.hook" -20 | nindent 4 }}
    {{- include "common.annotations" . | nindent 4 }}
automountServiceAccountToken: false
{{- end }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- include "common.hook" -20 | nindent 4 }}
    {{- include "common.annotations" . | nindent 4 }}
data:
  {{- range $setting, $value := pick (include "common.settings" . | fromYaml) "ENVIRONMENT" "LOG_FORMAT" "LOG_LEVEL" "SERVICE_VERSION" }}
  {{ $setting }}: {{ $value | quote }}
  {{- end }}
{{- if $createsSecret }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ $name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- include "common.hook" -20 | nindent 4 }}
    {{- include "common.annotations" . | nindent 4 }}
type: Opaque
stringData:
  MIGRATION_DATABASE_URL: {{ required "migrations.secret.existingSecret names no Secret with MIGRATION_DATABASE_URL" .Values.migrations.secret.data.MIGRATION_DATABASE_URL | quote }}
{{- end }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ $name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- include "common.hook" -20 | nindent 4 }}
    {{- include "common.annotations" . | nindent 4 }}
    twelvefold.dev/to-postgres: "migrates the schema as its owner"
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ $selected }}
      app.kubernetes.io/instance: {{ .Release.Name }}
  policyTypes: [Ingress, Egress]
  ingress: []
  egress:
    {{- include "common.egressToDns" . | nindent 4 }}
    {{- include "common.egressTo" (dict "root" . "name" "postgres") | nindent 4 }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- include "common.hook" -10 | nindent 4 }}
    {{- include "common.annotations" . | nindent 4 }}
    checkov.io/skip1: "CKV_K8S_11=a CPU limit would only prolong the migration"
spec:
  backoffLimit: {{ .Values.migrations.retries }}
  activeDeadlineSeconds: {{ .Values.migrations.deadline }}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {{ $selected }}
        app.kubernetes.io/instance: {{ .Release.Name }}
        {{- include "common.podLabels" . | nindent 8 }}
        app.kubernetes.io/component: migration
        {{- include "common.outsideMesh" . | nindent 8 }}
    spec:
      serviceAccountName: {{ $account }}
      automountServiceAccountToken: false
      restartPolicy: Never
      {{- include "common.pod" . | nindent 6 }}
      containers:
        - name: migrate
          {{- include "common.container" . | nindent 10 }}
          args: [db, migrate, {{ .Chart.Name }}]
          envFrom:
            {{- with .Values.sharedConfig }}
            - configMapRef: {name: {{ . }}}
            {{- end }}
            - configMapRef: {name: {{ $name }}}
          env:
            - name: MIGRATION_DATABASE_URL_FILE
              value: /run/secrets/twelvefold/MIGRATION_DATABASE_URL
            {{- include "common.trustVariable" . | nindent 12 }}
          resources:
            requests: {cpu: 50m, memory: 128Mi, ephemeral-storage: 16Mi}
            limits: {memory: 256Mi, ephemeral-storage: 64Mi}
          volumeMounts:
            {{- include "common.volumeMounts" . | nindent 12 }}
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: 16Mi}
        - name: secrets
          secret:
            secretName: {{ include "common.migrationSecretName" . }}
            defaultMode: 0440
            items:
              - {key: {{ $createsSecret | ternary "MIGRATION_DATABASE_URL" .Values.migrations.secret.key }}, path: MIGRATION_DATABASE_URL}
        {{- include "common.trustVolume" . | nindent 8 }}
{{- end }}
{{- end -}}
